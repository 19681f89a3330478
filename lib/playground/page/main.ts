import { Device } from './device.js'
import { element } from './elements.js'
import { keepInAddress, placeOfAddress, readConfig, type Place } from './place.js'
import { PlaceForm } from './place-form.js'
import { preferenceFields, rememberSession } from './preferences.js'
import { say } from './words.js'

const NAMES = ['A', 'B']
/** Where the fields of the connection would fill a phone's screen, they are folded away. */
const WIDE = '(min-width: 48rem)'

const config = readConfig()
const fields = preferenceFields()
const room = element('main', { class: 'devices' })
let place = placeOfAddress(config)
let devices: Device[] = []

/** Opens as many devices there as are open here. */
function move (to: Place): void {
  place = to
  keepInAddress(to)
  rememberSession(to.sessionId)
  const count = Math.max(1, devices.length)
  for (const device of devices) device.close()
  devices = []
  for (const name of NAMES.slice(0, count)) open(name)
}

function open (name: string): Device {
  const device = new Device(name, place)
  devices.push(device)
  room.append(device.element)
  return device
}

const second = say(element('button', { type: 'button', 'aria-pressed': 'false' }), 'secondDevice')
second.addEventListener('click', () => {
  const [, b] = devices
  b?.close()
  devices = devices.slice(0, 1)
  if (b === undefined) open('B').focus()
  second.setAttribute('aria-pressed', String(b === undefined))
})

const form = new PlaceForm(config, place, move)
const settings = element('details', { class: 'settings', ...(matchMedia(WIDE).matches ? { open: '' } : {}) }, say(element('summary'), 'settings'), form.element)
document.body.prepend(
  element('header', {},
    element('div', { class: 'bar' }, say(element('h1'), 'title'), ...fields, second),
    settings),
  room)
move(place)
devices[0]?.focus()
