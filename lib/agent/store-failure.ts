/** The session store could not tell what an executor asked it. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure'
}
