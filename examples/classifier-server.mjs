/**
 * Serves a classifier over HTTP, to this machine alone.
 *
 *   node examples/classifier-server.mjs [run] [port]
 *
 * POST {"texts": ["…"]} to /classify. See docs/tutorial-classifier.md for where the run comes from.
 */
import { createServer } from 'node:http'
import { isLowrankError, openClassifier } from 'lowrank'

const [run = 'runs/tickets', port = '8080'] = process.argv.slice(2)
const MOST_TEXTS = 100
const MOST_CHARACTERS = 1_000_000

// Opened once: the weights stay in memory, and a request costs what reading its texts costs.
const classifier = await openClassifier({ adapter: run })

const server = createServer(async (request, response) => {
  const answer = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
  if (request.method !== 'POST' || request.url !== '/classify')
    return answer(404, { error: 'POST {"texts": ["…"]} to /classify' })
  try {
    const texts = textsOf(await bodyOf(request))
    if (!texts) return answer(400, { error: `texts must be a list of 1 to ${MOST_TEXTS} texts` })
    answer(200, await classifier.classify(texts))
  } catch (error) {
    const isTheirs = isLowrankError(error) || error instanceof SyntaxError
    answer(isTheirs ? 400 : 500, { error: isTheirs ? error.message : 'something went wrong' })
    if (!isTheirs) console.error(error)
  }
})

async function bodyOf(request) {
  let body = ''
  for await (const part of request.setEncoding('utf8')) {
    body += part
    if (body.length > MOST_CHARACTERS) throw new SyntaxError('the request is too long')
  }
  return JSON.parse(body)
}

function textsOf(body) {
  const texts = body?.texts
  const isList = Array.isArray(texts) && texts.length > 0 && texts.length <= MOST_TEXTS
  return isList && texts.every((text) => typeof text === 'string') ? texts : undefined
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close(() => classifier.dispose()))

server.listen(Number(port), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/classify`)
})
