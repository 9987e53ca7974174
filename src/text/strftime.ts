/**
 * @file Python's strftime in the C locale, for templates that print today's date. Local time, as datetime.now() has it.
 * Must not know templates.
 */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November'],
  'December',
]

const pad = (value: number, width = 2): string => String(value).padStart(width, '0')
const hour12 = (date: Date): number => date.getHours() % 12 || 12

const FIELDS: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => (DAYS[date.getDay()] ?? '').slice(0, 3),
  A: (date) => DAYS[date.getDay()] ?? '',
  b: (date) => (MONTHS[date.getMonth()] ?? '').slice(0, 3),
  B: (date) => MONTHS[date.getMonth()] ?? '',
  d: (date) => pad(date.getDate()),
  H: (date) => pad(date.getHours()),
  I: (date) => pad(hour12(date)),
  m: (date) => pad(date.getMonth() + 1),
  M: (date) => pad(date.getMinutes()),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  S: (date) => pad(date.getSeconds()),
  y: (date) => pad(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  '%': () => '%',
}

/** `%-d` is `%d` without a leading zero, as in glibc. @throws Error for a field that is not known */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)(.)/g, (all, bare: string, field: string) => {
    const text = FIELDS[field]?.(date)
    if (text === undefined) throw new Error(`strftime_now does not know ${all}`)
    return bare === '-' ? text.replace(/^0(?=.)/, '') : text
  })
}
