// Stays connected by the client that is named, and prints what came as JSON: node live.js ws|eventsource URL
//
// ws says three things, each after the echo of the one before; eventsource listens for three events.
import { EventSource } from "eventsource";
import { WebSocket } from "ws";

const WORDS = ["one", "zwei Ä", "x".repeat(100000)];

function byWs(url, done) {
  const socket = new WebSocket(url);
  const heard = [];
  socket.on("open", () => socket.send(WORDS[0]));
  socket.on("message", (data) => {
    heard.push(data.toString());
    if (heard.length < WORDS.length) socket.send(WORDS[heard.length]);
    else socket.close(1000);
  });
  socket.on("close", (code) => done({ heard: heard.map((word, place) => word === WORDS[place]), code }));
}

function byEventSource(url, done) {
  const source = new EventSource(url);
  const heard = [];
  source.onmessage = ({ data }) => {
    if (heard.push(Number(data)) < 3) return;
    source.close();
    done({ heard });
  };
}

const [name, url] = process.argv.slice(2);
({ ws: byWs, eventsource: byEventSource })[name](url, (told) => process.stdout.write(JSON.stringify(told)));
