/** A cluster of Redis divides all keys into so many. */
export const SLOTS = 16_384

const CRC_16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : crc << 1 ^ 0x1021
  return crc
})

/** The slot of a key with a hash tag, as a cluster counts it. */
export function slotOf (key: string): number {
  const start = key.indexOf('{') + 1
  let crc = 0
  // Tags are made here, of characters that are one byte each.
  for (let index = start, end = key.indexOf('}', start); index < end; index++) {
    crc = (crc << 8 & 0xffff) ^ (CRC_16[crc >> 8 ^ key.charCodeAt(index)] ?? 0)
  }
  return crc % SLOTS
}
