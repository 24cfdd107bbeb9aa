// Uploads a file with tus-js-client and prints what became of it as JSON: node upload.js FILE URL CHUNK
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { Upload } from "tus-js-client";

const [file, endpoint, chunk] = process.argv.slice(2);
const told = (what) => process.stdout.write(JSON.stringify(what));

let retries = 0;
const upload = new Upload(createReadStream(file), {
  endpoint,
  chunkSize: Number(chunk),
  uploadSize: statSync(file).size,
  retryDelays: Array(60).fill(100),
  metadata: { filename: basename(file), filetype: "application/x-run" },
  onShouldRetry: () => ++retries > 0,
  onError: (error) => told({ error: error.message, retries }),
  onSuccess: () => told({ url: upload.url, retries }),
});
upload.start();
