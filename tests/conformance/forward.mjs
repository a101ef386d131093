// Stands in front of an MCP server and adds the API key: the conformance suite can send no header of its own.
// Host and Origin stay as the client sent them (but that the forwarder's own port becomes the server's), and
// bodies stream both ways, so that what the suite measures is the server's behaviour and not this file's.

import http from 'node:http';

/** Starts a forwarder to `target` that adds `key`; resolves to its URL and a `close`. */
export async function forward(target, key) {
    const to = new URL(target);
    const ownPort = () => server.address().port;
    const asIfDirect = (name, value) =>
        ['host', 'origin'].includes(name.toLowerCase()) ? value.replace(new RegExp(`:${ownPort()}$`), `:${to.port || 80}`) : value;
    const agent = new http.Agent({ keepAlive: true });
    const server = http.createServer((request, response) => {
        const headers = [];
        for (let i = 0; i < request.rawHeaders.length; i += 2) {
            const name = request.rawHeaders[i];
            if (!['connection', 'keep-alive', 'x-api-key'].includes(name.toLowerCase())) {
                headers.push(name, asIfDirect(name, request.rawHeaders[i + 1]));
            }
        }
        headers.push('X-API-Key', key);
        const upstream = http.request(
            { agent, hostname: to.hostname, port: to.port, path: request.url, method: request.method, headers, setHost: false },
            (answer) => {
                response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
                answer.pipe(response);
                answer.on('error', () => response.destroy());
            },
        );
        upstream.on('error', (error) => {
            if (response.headersSent) response.destroy();
            else response.writeHead(502, { 'Content-Type': 'text/plain' }).end(`forwarder: ${error.message}\n`);
        });
        // A client that goes away must be seen by the server.
        response.on('close', () => upstream.destroy());
        request.pipe(upstream);
    });
    await new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', resolve);
    });
    return {
        url: `http://localhost:${ownPort()}${to.pathname}`,
        close: () => {
            agent.destroy();
            server.closeAllConnections();
            server.close();
        },
    };
}
