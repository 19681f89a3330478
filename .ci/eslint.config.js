import { join } from 'node:path'

import stylistic from '@stylistic/eslint-plugin'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

const style = stylistic.configs.customize({
  indent: 2,
  quotes: 'single',
  semi: false,
  commaDangle: 'never',
  braceStyle: '1tbs',
  arrowParens: true,
  jsx: false
})

const TYPED = ['lib/**/*.ts', 'test/**/*.ts', 'examples/**/*.{ts,tsx}']

export default defineConfig(
  // A file that tells a linter to look away where nothing is wrong hides the next fault there.
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  globalIgnores(['dist/', '.tap/', 'coverage/']),

  {
    ...style,
    rules: {
      ...style.rules,
      '@stylistic/space-before-function-paren': ['error', 'always'],
      '@stylistic/quotes': ['error', 'single', { avoidEscape: true, allowTemplateLiterals: 'avoidEscape' }],
      '@stylistic/max-len': ['error', {
        code: 140, ignoreStrings: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true, ignoreUrls: true
      }],
      '@stylistic/no-extra-semi': 'error',
      '@stylistic/generator-star-spacing': ['error', 'both'],
      '@stylistic/yield-star-spacing': ['error', 'both'],
      // These differ from standard, or from one good line to the next.
      '@stylistic/indent': ['error', 2, { SwitchCase: 1, ignoredNodes: ['TSUnionType', 'TSTypeParameterInstantiation'] }],
      '@stylistic/indent-binary-ops': 'off',
      '@stylistic/max-statements-per-line': 'off',
      '@stylistic/member-delimiter-style': ['error', {
        multiline: { delimiter: 'none' }, singleline: { delimiter: 'comma', requireLast: false }
      }],
      '@stylistic/multiline-ternary': 'off',
      '@stylistic/operator-linebreak': 'off',
      '@stylistic/quote-props': ['error', 'as-needed']
    }
  },

  {
    files: ['**/*.{js,mjs}'],
    rules: {
      'no-unused-vars': ['error', { caughtErrors: 'none' }],
      'no-var': 'error',
      'prefer-const': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }]
    }
  },

  {
    files: TYPED,
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: join(import.meta.dirname, '..') } },
    rules: {
      eqeqeq: 'error',
      'no-restricted-syntax': ['error',
        { selector: 'TSEnumDeclaration', message: 'Use a union of literals.' },
        { selector: 'TSModuleDeclaration[kind="namespace"]', message: 'Use a file.' }
      ],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports', prefer: 'type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': ['error', {
        // tap runs its tests one after the other and reports them, awaited or not. An assertion such as `t.rejects` is
        // another matter: it is missed when nobody waits for it.
        allowForKnownSafePromises: [{ from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }]
      }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', {
        considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: false
      }],
      '@typescript-eslint/no-unused-vars': ['error', { caughtErrors: 'none', ignoreRestSiblings: true }],
      // `const Frame = Type.Object(…)` beside `type Frame = Static<typeof Frame>` is how schemas give types here.
      '@typescript-eslint/no-redeclare': 'off',
      // A function that is async by contract need not wait for anything.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `return refuse(…)` is how a function says that this was all.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      // The types of ws and of node:http declare each class apart from the type of its instances.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off'
    }
  },

  {
    files: ['test/**/*.ts', 'examples/**/*.{ts,tsx}'],
    rules: {
      // Tests stub and inspect more than they build.
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/unbound-method': 'off'
    }
  }
)
