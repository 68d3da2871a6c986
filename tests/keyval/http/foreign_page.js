// Tries every way that a browser has to send requests, and tells what the page got of each:
// a list of [way, path, outcome].
async ({base, reads, takes, writes, streams, sockets, say}) => {
    const PATIENCE = 20000;
    const seen = [];
    const waiting = [];
    const attempt = (way, path, outcome) =>
        waiting.push(Promise.resolve(outcome).then((found) => seen.push([way, path, found])));
    const first = (arm) => new Promise((done) => {
        arm(done);
        setTimeout(() => done("nothing"), PATIENCE);
    });

    const ask = async (method, path, body, mode) => {
        try {
            const answer = await fetch(base + path, {
                method, mode, credentials: "include", signal: AbortSignal.timeout(PATIENCE),
                body: body === null ? undefined : JSON.stringify(body),
            });
            return answer.type === "opaque" ? "opaque" : [answer.status, await answer.text()];
        } catch (error) {
            return "refused";
        }
    };
    const element = (tag, attribute, path, more) => first((done) => {
        const made = Object.assign(document.createElement(tag), more);
        made.onload = made.onloadeddata = () => done("loaded");
        made.onerror = () => done("refused");
        made[attribute] = base + path;
        document.body.append(made);
    });
    const frame = (name, navigate) => first((done) => {
        const made = Object.assign(document.createElement("iframe"), {name});
        document.body.append(made);
        made.onload = () => {
            try {
                done(["frame", made.contentDocument.body.innerText]);
            } catch (error) {
                done("refused");
            }
        };
        navigate(made);
    });
    const form = (method, path, body, enctype) => frame(`${method} ${path} ${enctype}`, (sink) => {
        const made = document.createElement("form");
        Object.assign(made, {method, action: base + path, enctype, target: sink.name});
        if (body !== null) {
            // As plain text this is the JSON itself, if there is a "=" in it.
            const [name, ...rest] = JSON.stringify(body).split("=");
            made.append(Object.assign(document.createElement("input"), {name, value: rest.join("=")}));
        }
        document.body.append(made);
        made.submit();
    });

    for (const path of [...reads, ...takes]) {
        attempt("fetch", path, ask("GET", path, null, "cors"));
        attempt("fetch without answer", path, ask("GET", path, null, "no-cors"));
        attempt("image", path, element("img", "src", path));
        attempt("script", path, element("script", "src", path));
        attempt("style", path, element("link", "href", path, {rel: "stylesheet"}));
        attempt("video", path, element("video", "src", path));
        attempt("frame", path, frame(`frame ${path}`, (made) => { made.src = base + path; }));
        attempt("form", path, form("GET", path, null, ""));
    }
    for (const [method, path, body] of writes) {
        attempt("fetch", path, ask(method, path, body, "cors"));
        if (method === "POST") {
            attempt("fetch without answer", path, ask(method, path, body, "no-cors"));
            attempt("beacon", path, navigator.sendBeacon(base + path, JSON.stringify(body)) && "sent");
            for (const enctype of
                ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
                attempt("form", path, form(method, path, body, enctype));
            }
        }
    }
    for (const path of streams) {
        for (const withCredentials of [false, true]) {
            attempt("EventSource", path, first((done) => {
                const source = new EventSource(base + path, {withCredentials});
                source.onopen = () => done("open");
                source.onerror = () => { source.close(); done("refused"); };
            }));
        }
    }
    for (const path of sockets) {
        for (const protocols of [[], ["hrana2"], ["hrana3"]]) {
            attempt("WebSocket", path, first((done) => {
                const socket = new WebSocket(base.replace("http", "ws") + path, protocols);
                const told = ["open"];
                socket.onopen = () => {
                    say.forEach((message) => socket.send(JSON.stringify(message)));
                    setTimeout(() => done(told), PATIENCE / 2);
                };
                socket.onmessage = (event) => told.push(event.data);
                socket.onerror = () => done("refused");
                socket.onclose = () => done(["closed", ...told]);
            }));
        }
    }
    await Promise.all(waiting);
    return seen;
}
