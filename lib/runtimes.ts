import type { Channel, ChannelRuntime } from './channel.js'

const runtimeByChannel = new WeakMap<Channel, ChannelRuntime>()

/** Lets this package's other plugins find what stands behind `app.channel`, and nobody else. */
export function linkRuntime (channel: Channel, runtime: ChannelRuntime): void {
  runtimeByChannel.set(channel, runtime)
}

/** `undefined` for an object that is no channel of this package. */
export function runtimeOf (channel: Channel): ChannelRuntime | undefined {
  return runtimeByChannel.get(channel)
}
