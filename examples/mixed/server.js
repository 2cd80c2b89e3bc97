// A worker for paster in plain Node: no packages. The contract is docs/worker-contract.md.
'use strict';

const fs = require('fs');
const http = require('http');

// Started by paster: the socket is descriptor 3 and the configuration is JSON behind PASTE_CONFIG_FD.
// Started by hand (`node server.js`): port 8000 and the defaults below.
const passed = process.env.LISTEN_FDS === '1' && process.env.LISTEN_PID === String(process.pid);
const config = { app: 'node', local_conf: {} };
if (process.env.PASTE_CONFIG_FD) {
  Object.assign(config, JSON.parse(fs.readFileSync(Number(process.env.PASTE_CONFIG_FD), 'utf8')));
}
const greeting = config.local_conf.greeting || 'Hello';
let requests = 0;

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const server = http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path !== '/') {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('there is no such page\n');
    return;
  }
  requests += 1;
  const mount = request.headers['x-script-name'] || '';
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' });
  response.end(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escape(config.app)}</title>
<body style="font: 1.1em/1.5 sans-serif; max-width: 40em; margin: 2em auto">
<h1>${escape(greeting)}</h1>
<p>This is app <b>${escape(config.app)}</b> in Node ${process.versions.node}, process ${process.pid}, mounted at
<code>${escape(mount) || 'the root'}</code>, up for ${process.uptime().toFixed(1)} s; request ${requests} of this process.</p>
<p><a href="/">home</a></p>
`);
});

// Only the proxy closes idle connections, so that no request meets one that is just being closed.
server.keepAliveTimeout = 0;
server.headersTimeout = 0;
server.requestTimeout = 0;

// Finish what is in flight, then go.
process.once('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});

server.listen(passed ? { fd: 3 } : { host: '127.0.0.1', port: 8000 });
