// Does what it is told on stdin, by the client that is named: node ask.js fetch|axios
//
// {"base": URL, "at_once": bool, "asks": [{"path", "method", "fields", "body": FILE or null, "chunked"}]}
//
// and prints what it saw, in the same order: [{"status", "fields", "body": in Base64, "failure"}].
import { createReadStream, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import axios from "axios";

const chain = (error) => (error ? `${error.code ?? ""} ${error.message}; ${chain(error.cause)}` : "");

async function byFetch(base, { path, method, fields, body, chunked }) {
  const options = { method, headers: fields };
  if (body !== null && chunked) {
    options.body = Readable.toWeb(createReadStream(body));
    options.duplex = "half";
  } else if (body !== null) {
    options.body = readFileSync(body);
  }
  const answer = await fetch(base + path, options);
  const bytes = Buffer.from(await answer.arrayBuffer());
  return { status: answer.status, fields: Object.fromEntries(answer.headers), body: bytes.toString("base64") };
}

async function byAxios(base, { path, method, fields, body, chunked }) {
  const answer = await axios.request({
    url: base + path,
    method,
    headers: fields,
    data: body === null ? undefined : chunked ? createReadStream(body) : readFileSync(body),
    responseType: "arraybuffer",
    maxBodyLength: Infinity,
    validateStatus: () => true,
    proxy: false,
  });
  const bytes = Buffer.from(answer.data);
  return { status: answer.status, fields: { ...answer.headers }, body: bytes.toString("base64") };
}

const ask = { fetch: byFetch, axios: byAxios }[process.argv[2]];
const { base, at_once, asks } = JSON.parse(await text(process.stdin));
const seen = (one) => ask(base, one).catch((error) => ({ status: 0, fields: {}, body: "", failure: chain(error) }));
const all = [];
if (at_once) {
  all.push(...(await Promise.all(asks.map(seen))));
} else {
  for (const one of asks) all.push(await seen(one));
}
process.stdout.write(JSON.stringify(all));
