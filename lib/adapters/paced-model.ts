import type { LanguageModel } from 'ai'

import type { ReaderPace } from './reader-pace.js'

type Model = Exclude<LanguageModel, string>

/** The same model, whose stream waits for the reader; one that is only named, of a gateway, is left as it is. */
export function pacedModel (model: LanguageModel, pace: ReaderPace): { model?: LanguageModel } {
  if (typeof model === 'string') return {}
  return {
    // Not a copy: what a model has may be private, so that only itself can be asked.
    model: new Proxy<Model>(model, {
      get (target, name) {
        if (name === 'doStream') return async (options: never) => await streamed(target, options, pace)
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) as unknown : value
      }
    })
  }
}

async function streamed (model: Model, options: never, pace: ReaderPace) {
  const result = await model.doStream(options)
  // The versions of the interface differ in what the pieces are, which are left alone.
  return { ...result, stream: pace.held<unknown>(result.stream) }
}
