// Looks at the API server as somebody else's client does: @kubernetes/client-node's informers on services and endpoint
// slices, and beneath them every line of their watches, while the server is told to add, change, delete, and to drop all
// connections. Prints a line for each claim.
//
//     node informer.mjs SERVE        SERVE is the example `serve`; exit code 1 if a claim does not hold
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { isDeepStrictEqual } from 'node:util';
import { KubeConfig, ListWatch, Watch, CoreV1Api, DiscoveryV1Api } from '@kubernetes/client-node';

const SERVICES = 20;
const ROUNDS = 6;
const PATIENCE_MS = 15_000;

let broken = 0;
function claim(text, holds) {
    broken += !holds;
    console.log(`${holds ? 'ok   ' : 'FAIL '} ${text}`);
}

async function until(what, holds) {
    const end = Date.now() + PATIENCE_MS;
    while (!holds()) {
        if (Date.now() > end) throw new Error(`${what}: not so after ${PATIENCE_MS} ms`);
        await new Promise((go) => setTimeout(go, 5));
    }
}

const serve = spawn(process.argv[2], [String(SERVICES)], { stdio: ['pipe', 'pipe', 'inherit'] });
const lines = createInterface({ input: serve.stdout })[Symbol.asyncIterator]();
const config = new KubeConfig();
const given = JSON.parse((await lines.next()).value);
// This client speaks plain HTTP only to whom it would not ask for a certificate.
given.clusters[0].cluster['insecure-skip-tls-verify'] = true;
config.loadFromString(JSON.stringify(given));

// What each informer is to see: [type, name], in order.
const expected = { services: [], endpointslices: [] };
async function tell(command, name = '') {
    serve.stdin.write(`${command} ${name}\n`);
    const { value } = await lines.next();
    if (!value?.startsWith(command)) throw new Error(`${command} ${name}: ${value}`);
    const type = { add: 'ADDED', change: 'MODIFIED', delete: 'DELETED' }[command];
    if (type) expected.endpointslices.push([type, `${name}-slice`]);
    if (type && command !== 'change') expected.services.push([type, name]);
}

function follow(path, list) {
    const seen = { lines: [], informed: [], begun: 0, errors: 0, listed: 0 };
    const watch = new Watch(config);
    const recorded = {
        watch: (at, query, handle, done) => {
            const record = (type, object, line) => {
                seen.lines.push([type, object.metadata?.name, Number(object.metadata?.resourceVersion)]);
                handle(type, object, line);
            };
            return watch.watch(at, query, record, done).finally(() => seen.begun++);
        },
    };
    const counted = () => (seen.listed++, list());
    seen.informer = new ListWatch(path, recorded, counted, false);
    for (const type of ['add', 'update', 'delete']) {
        seen.informer.on(type, (object) => seen.informed.push([type, object.metadata.name]));
    }
    // As its documentation says: an informer whose connection breaks is started again, and goes on where it was.
    seen.informer.on('error', (error) => {
        if (++seen.errors > 10 * ROUNDS) throw error;
        seen.informer.start();
    });
    seen.informer.start();
    return seen;
}

const core = config.makeApiClient(CoreV1Api);
const discovery = config.makeApiClient(DiscoveryV1Api);
const followed = {
    services: follow('/api/v1/services', () => core.listServiceForAllNamespaces()),
    endpointslices: follow('/apis/discovery.k8s.io/v1/endpointslices', () =>
        discovery.listEndpointSliceForAllNamespaces(),
    ),
};
const all = Object.entries(followed);
await until('both are watched', () => all.every(([, seen]) => seen.begun > 0));
for (const [kind, seen] of all) {
    claim(`${kind}: the list has all ${SERVICES}`, seen.informer.list().length === SERVICES && seen.informed.length === SERVICES);
    seen.informed.length = 0;
}

for (let round = 0; round < ROUNDS; round++) {
    for (let nth = 0; nth < SERVICES; nth++) {
        const name = `svc-${1000 * (round + 1) + nth}`;
        await tell('add', name);
        await tell('change', name);
        if (nth % 2) await tell('delete', name);
        // Once in the middle of what is sent, and what follows at once happens while nobody is connected.
        if (nth === SERVICES / 2) await tell('drop');
    }
    // The last of a round: whatever else there is comes before it.
    await tell('add', `svc-${9000 + round}`);
    for (const [kind, seen] of all) {
        const last = expected[kind].at(-1)[1];
        await until(`${kind}: ${last} is seen`, () => seen.lines.some(([, name]) => name === last));
    }
}
for (const [kind, seen] of all) {
    const events = expected[kind].length;
    const as = { ADDED: 'add', MODIFIED: 'update', DELETED: 'delete' };
    const there = new Set();
    for (const [type, name] of expected[kind]) type === 'DELETED' ? there.delete(name) : there.add(name);
    const versions = seen.lines.map(([, , version]) => version);
    claim(
        `${kind}: ${events} events came in order, none lost, none twice`,
        isDeepStrictEqual(seen.lines.map(([type, name]) => [type, name]), expected[kind]),
    );
    claim(`${kind}: their versions increase`, versions.every((version, nth) => !nth || version > versions[nth - 1]));
    claim(
        `${kind}: the informer told the same`,
        isDeepStrictEqual(seen.informed, expected[kind].map(([type, name]) => [as[type], name])),
    );
    claim(`${kind}: it holds what is there`, seen.informer.list().length === SERVICES + there.size);
    claim(`${kind}: ${ROUNDS} dropped connections were resumed without another list`, seen.begun > ROUNDS && seen.listed === 1);
}
serve.stdin.end();
process.exit(broken ? 1 : 0);
