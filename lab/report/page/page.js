// The page of a run. While it happens a stream of states is put into it, and nothing is asked of anybody but its own
// server. In a file all of it is in the file, of one run or of several, and nobody is asked at all.

const $ = id => document.getElementById(id);
const STAGES = {
  waiting: "waiting for a run", starting: "the network is being built", running: "traffic is running",
  judging: "the exporters have told all; it is being judged", judged: "judged",
};
const kept = $("told") && JSON.parse($("told").textContent);
let place = 0;  // of the run that is shown, in a file
let run = null, view = null, stream = null, chosen = "", shown = "", ended = "", opened = 0;

// What a screen reader says of itself is written only if it is new.
function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function put(parent, name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
}

async function ask(path) {
  if (kept) return path === "run" ? kept[place].run : kept[place].datagrams[path.split("/")[1]] ?? null;
  const answer = await fetch(path);
  return answer.ok ? answer.json() : null;
}

async function begin(id) {
  const told = await ask("run");
  if (told === null || told.run !== id) return;
  run = told;
  document.title = `${run.title} · flowlab${kept ? "" : " live"}`;
  $("title").textContent = run.title;
  $("description").textContent = run.description;
  if (run.drawing) $("network").innerHTML = run.drawing;
  else $("network").replaceChildren(Object.assign(document.createElement("pre"), { textContent: run.picture }));
  $("links").replaceChildren();
  for (const link of run.links) put($("links"), "li", link);
  const legend = $("switches").querySelector("legend");
  $("switches").replaceChildren(legend);
  if (!run.switches.includes(chosen)) chosen = "";
  run.switches.forEach((name, number) => {
    const label = put($("switches"), "label");
    const choice = put(label, "input");
    Object.assign(choice, { type: "radio", name: "switch", value: name, checked: chosen ? name === chosen : number === 0 });
    label.append(` ${name}`);
    choice.addEventListener("change", () => { chosen = name; listen(); });
  });
  for (const id of ["datagrams", "flows", "octets"]) $(id).replaceChildren();
  $("octets-title").textContent = "None is open.";
  $("end").hidden = true;
  shown = ended = "";
  const drawn = await window.vegaEmbed($("panes"), run.chart, { actions: false, renderer: "svg", logLevel: 1 });
  view = drawn.view;
}

function amount(bits) {
  for (const [unit, name] of [[1e9, "Gbit/s"], [1e6, "Mbit/s"], [1e3, "kbit/s"]])
    if (bits >= unit) return `${(bits / unit).toFixed(1)} ${name}`;
  return `${bits} bit/s`;
}

function links(loads, over) {
  loads.forEach(({ pps, bps, packets, octets }, number) => {
    const item = $("links").children[number];
    const now = `${pps} packets/s, ${amount(bps)}`, all = `${packets} packets, ${octets} octets`;
    if (item) item.textContent = `${run.links[number]}: ${over ? all : now}`;
    const edge = document.getElementById(`link-${number}`);
    const line = edge && edge.querySelector("path");
    if (!line) return;
    edge.classList.toggle("busy", pps > 0);
    const much = over ? packets : pps;
    line.style.strokeWidth = much ? 1.5 + 1.5 * Math.log10(1 + much) : 1;
    line.style.animationDuration = `${Math.max(0.15, 1.5 - 0.3 * Math.log10(1 + pps))}s`;
  });
}

function opener(cell, number) {
  // A file has the first datagrams of each sender, and no others to be opened.
  if (kept && !(number in kept[place].datagrams)) { cell.textContent = number; return; }
  const button = put(cell, "button", number);
  button.setAttribute("aria-label", `open datagram ${number}`);
  button.setAttribute("aria-pressed", String(number === opened));
  button.addEventListener("click", () => open(number));
}

function rows(body, values, fill) {
  // Whoever is about to press a button keeps it: a table that has the focus stays as it is.
  if (body.contains(document.activeElement)) return;
  body.replaceChildren();
  for (const value of values.slice().reverse()) fill(put(body, "tr"), value);
}

async function open(number) {
  const datagram = await ask(`datagram/${number}`);
  opened = number;
  for (const button of document.querySelectorAll("td button"))
    button.setAttribute("aria-pressed", String(button.textContent === String(number)));
  $("octets").replaceChildren();
  if (datagram === null) { $("octets-title").textContent = `Datagram ${number} is no longer kept; the run's exports.pcap has it.`; return; }
  $("octets-title").textContent = `${number}: ${datagram.title}`;
  for (const [offset, octets, depth, name, value, meaning, section] of datagram.lines) {
    const row = put($("octets"), "tr");
    if (octets === "") {
      const heading = put(row, "td", name + (section ? `  [${section}]` : ""));
      heading.colSpan = 4;
      heading.style.fontWeight = "600";
    } else {
      put(row, "td", offset, "number");
      put(row, "td", octets, "octets");
      put(row, "td", name).style.paddingLeft = `${depth}em`;
      put(row, "td", [value, meaning && `(${meaning})`, section && `[${section}]`].filter(Boolean).join("  "));
    }
  }
  if (datagram.more) put(put($("octets"), "tr"), "td", "… and more fields: flowlab explain has all").colSpan = 4;
  $("h-octets").focus();
}

function end(verdict) {
  $("end").hidden = false;
  $("verdict").textContent = verdict.verdict;
  $("verdict").className = `verdict ${verdict.verdict}`;
  $("passed").textContent = `${verdict.passed} comparisons hold${verdict.bad.length ? `, ${verdict.bad.length + verdict.more} do not` : ""}.`;
  $("chain").replaceChildren();
  for (const [name, who] of run.chain) {
    const broken = verdict.broken.includes(name);
    put(put($("chain"), "li", broken ? `${name} ✗` : name, broken ? "broken" : ""), "small", who);
  }
  $("said").replaceChildren();
  for (const one of verdict.experiment) put($("said"), "p", `${one.link}: ${one.what}`, "INVALID");
  for (const note of verdict.notes) put($("said"), "p", note, "soft");
  for (const line of verdict.look_for) put($("said"), "p", `Look for: ${line}`, "soft");
  $("bad").replaceChildren();
  if (!verdict.bad.length) return;
  const table = put($("bad"), "table");
  const head = put(table, "tr");
  const names = ["exporter", "observation_point", "flow", "measure", "expected", "observed", "why"];
  for (const name of names) put(head, "th", name.replace("_", " "));
  for (const one of verdict.bad) {
    const row = put(table, "tr");
    for (const name of names) put(row, "td", one[name]);
  }
}

async function take(state) {
  say("stage", STAGES[state.stage] ?? state.stage);
  if (state.run === null) return;
  if (run === null || run.run !== state.run) await begin(state.run);
  if (run === null || run.run !== state.run) return;
  $("clock").textContent = `${state.s.toFixed(1)} s`;
  $("count").textContent = kept ? `The first of each sender, of ${state.datagrams_in_all}` : `${state.datagrams_in_all} so far`;
  links(state.links, state.stage === "judged");
  rows($("datagrams"), state.datagrams, (row, one) => {
    opener(put(row, "td"), one.number);
    put(row, "td", one.s.toFixed(2), "number");
    put(row, "td", one.protocol);
    put(row, "td", one.octets, "number");
    put(row, "td", one.records, "number");
  });
  rows($("flows"), state.flows, (row, one) => {
    put(row, "td", one.s.toFixed(2), "number");
    put(row, "td", one.protocol);
    opener(put(row, "td"), one.datagram);
    put(row, "td", one.flow);
    put(row, "td", one.packets ?? "", "number");
    put(row, "td", one.octets ?? "", "number");
  });
  const marks = JSON.stringify([state.known, state.came]);
  if (view && marks !== shown) {
    shown = marks;
    await view.data("known", state.known).data("came", state.came).runAsync();
  }
  const verdict = JSON.stringify(state.verdict);
  if (state.verdict && verdict !== ended) end(state.verdict);
  ended = verdict;
  $("keep").hidden = kept !== null || !state.page;
}

// ── a file ──

const FIGURE = { actions: { export: true, source: false, compiled: false, editor: false }, renderer: "svg", logLevel: 1 };

async function figures(parent, charts) {
  for (const place of parent.querySelectorAll("[data-figure]")) {
    const chart = charts[place.dataset.figure];
    if (chart === undefined) place.textContent = "There is nothing to draw.";
    else await window.vegaEmbed(place, chart, FIGURE);
  }
}

async function choose(number) {
  place = number;
  run = null;
  chosen = "";
  for (const [at, button] of [...$("runs").children].entries()) button.setAttribute("aria-pressed", String(at === number));
  await show();
  await figures($("figures"), kept[place].figures);
}

async function show() {
  const told = kept[place], at = chosen || told.run.switches[0];
  await take({ ...told.state, run: told.run.run, known: told.known.filter(row => row.switch === at) });
}

async function open_file() {
  $("figures").hidden = false;
  $("h-datagrams").textContent = "Datagrams";
  if (kept.length > 1) {
    $("runs").hidden = $("side").hidden = false;
    for (const [number, told] of kept.entries()) {
      const button = put($("runs"), "button", `${told.run.run}: ${told.state.verdict.verdict}`);
      button.addEventListener("click", () => choose(number));
      const part = put($("side"), "article");
      put(part, "h2", told.run.title);
      put(part, "p", `${told.run.run}: ${told.state.verdict.verdict}`, told.state.verdict.verdict);
      put(part, "div", undefined, "sheet").dataset.figure = "who-knows-what-when";
      await figures(part, told.figures);
    }
  }
  await choose(0);
  document.body.dataset.ready = "yes";
}

// ── a run that happens ──

const FIRST_WAIT_MS = 1000, LONGEST_WAIT_MS = 60000;
let wait_ms = FIRST_WAIT_MS, again = null;

function listen() {
  if (kept) return show();
  if (stream) stream.close();
  clearTimeout(again);
  stream = new EventSource(`stream?switch=${encodeURIComponent(chosen)}`);
  // A page that is slower than the stream leaves states out, but never the last one.
  let busy = false, latest = null;
  stream.onmessage = async event => {
    latest = event.data;
    wait_ms = FIRST_WAIT_MS;
    if (busy) return;
    busy = true;
    try {
      while (latest !== null) {
        const state = JSON.parse(latest);
        latest = null;
        await take(state);
        document.body.dataset.states = Number(document.body.dataset.states ?? 0) + 1;
      }
    } finally { busy = false; }
  };
  stream.onerror = () => {
    // A stream that broke is opened again by the browser, one that was refused is not.
    if (stream.readyState !== EventSource.CLOSED) return say("stage", "flowlab is gone; this is what it showed last");
    say("stage", "this page is full (64 at a time), or flowlab is gone; trying again");
    again = setTimeout(listen, wait_ms);
    wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
  };
}

if (kept) open_file(); else listen();
