// Worklist rows from GET /studies, every two seconds. All text goes in as text, never as markup.
"use strict";

const INTERVAL_MS = 2000;
const FINAL = ["completed", "failed", "cancelled"];
// a study in the address (…/#UID) is shown opened
const opened = new Set(location.hash.length > 1 ? [location.hash.slice(1)] : []);

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function link(text, url) {
  const anchor = make("a", "", text);
  if (/^https?:\/\//.test(url)) anchor.href = url;
  anchor.addEventListener("click", (event) => event.stopPropagation());
  return anchor;
}

function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  const minutes = seconds / 60;
  if (minutes < 90) return `${Math.round(minutes)} min`;
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} d`;
}

function time(text) {
  return new Date(text).toLocaleTimeString("en-GB");
}

function priority(task) {
  const [rank, name] = [task.priority.slice(0, 2), task.priority.slice(3)];
  const chip = make("span", `chip ${rank}`, `${rank.toUpperCase()} ${name}`);
  if (task.priority_reason) chip.title = `${task.priority_reason} (rules ${task.rule_revision})`;
  return chip;
}

function state(task) {
  const cell = make("td", task.state === "failed" ? "failed" : "", task.state.replace("_", " "));
  if (FINAL.includes(task.state)) {
    if (task.reason) cell.append(make("span", "small wrap", task.reason));
    return cell;
  }
  const fill = make("i", "");
  fill.style.width = `${task.progress}%`;
  cell.append(make("div", "bar", fill));
  if (task.attempt > 1) cell.append(make("span", "small", `attempt ${task.attempt}`));
  return cell;
}

function deadline(task) {
  const cell = make("td", task.overdue ? "late" : "");
  if (FINAL.includes(task.state)) {
    cell.append(task.overdue ? "missed" : make("span", "ok", "met"), make("span", "small", `was ${time(task.deadline)}`));
    return cell;
  }
  const left = new Date(task.deadline) - Date.now();
  cell.append(left < 0 ? `${duration(-left)} late` : `in ${duration(left)}`, make("span", "small", time(task.deadline)));
  return cell;
}

function findings(task) {
  const cell = make("td", "");
  if (!task.result) return cell;
  if (task.result.outcome === "no_findings") cell.append("nothing found");
  if (task.result.outcome === "could_not_run") cell.append(make("span", "failed", "could not run"));
  for (const finding of task.result.findings) {
    const numbers = finding.measurements.map((item) => `${item.value.toLocaleString("en", { maximumFractionDigits: 1 })} ${item.unit}`);
    cell.append(make("div", "", `${finding.name} ${numbers.join(", ")}`));
  }
  const said = remarks(task);
  if (said.length) {
    const note = make("span", "small p2", said.length === 1 ? "1 remark" : `${said.length} remarks`);
    note.title = said.join("\n");
    cell.append(note);
  }
  return cell;
}

// What must be said beside the numbers, each sentence once.
function remarks(task) {
  if (!task.result) return [];
  const all = [task.result.reason, ...task.result.warnings, ...task.result.findings.flatMap((finding) => finding.warnings)];
  return [...new Set(all.filter(Boolean))];
}

function results(study, task) {
  const cell = make("td", "results");
  const names = { DiagnosticReport: "Report" };
  for (const object of study.objects) {
    if (!object.url || !["SEG", "SR", "DiagnosticReport"].includes(object.name)) continue;
    cell.append(link(names[object.name] || object.name, object.url));
  }
  for (const delivery of task ? task.deliveries : []) {
    if (delivery.status === "stored") continue;
    const note = make("span", "failed", `${delivery.destination}: ${delivery.status}`);
    if (delivery.reason) note.title = delivery.reason;
    cell.append(note);
  }
  return cell;
}

function way(study) {
  const list = make("ol", "way");
  for (const stage of study.timeline) {
    const since = stage.since_arrival_ms;
    list.append(make("li", "", make("b", "", stage.name.replace("delivered:", "stored: ")),
      make("span", "small", `${time(stage.at)}${since === null ? "" : `  +${duration(since)}`}`)));
  }
  return list;
}

function rowsOf(study) {
  const uid = study.study_instance_uid;
  const task = study.tasks.find((item) => !FINAL.includes(item.state)) || study.tasks[study.tasks.length - 1];
  const about = [study.modalities.join(", "), study.instance_count === null ? "" : study.instance_count === 1 ? "1 image" : `${study.instance_count} images`,
    study.accession_number || ""].filter(Boolean).join(" · ");
  const row = make("tr", "row",
    make("td", "", task ? priority(task) : "—"),
    make("td", "", study.study_description || "Study", make("span", "small", about)),
    make("td", "", task ? task.model : "no model applies"),
    task ? state(task) : make("td", "", study.ready_at ? "complete" : "arriving"),
    task ? deadline(task) : make("td", ""),
    task ? findings(task) : make("td", ""),
    results(study, task));
  row.tabIndex = 0;
  const toggle = () => { opened.has(uid) ? opened.delete(uid) : opened.add(uid); draw(last); };
  row.addEventListener("click", toggle);
  row.addEventListener("keydown", (event) => { if (event.key === "Enter") toggle(); });
  if (!opened.has(uid)) return [row];
  const cell = make("td", "", way(study), ...study.tasks.flatMap(remarks).map((said) => make("div", "p2", said)),
    make("div", "uid", `StudyInstanceUID ${uid}`));
  cell.colSpan = 7;
  return [row, make("tr", "detail", cell)];
}

let last = { total: 0, studies: [] };

function draw(answer) {
  last = answer;
  const waiting = answer.studies.filter((study) => study.tasks.some((task) => !FINAL.includes(task.state))).length;
  document.getElementById("rows").replaceChildren(...answer.studies.flatMap(rowsOf));
  document.getElementById("empty").hidden = answer.studies.length > 0;
  document.getElementById("summary").textContent =
    `${answer.total} ${answer.total === 1 ? "study" : "studies"}, ${waiting} in progress · ${time(Date.now())}`;
}

async function refresh() {
  const alert = document.getElementById("alert");
  try {
    const [health, studies] = await Promise.all([fetch("health/ready"), fetch("studies?limit=100")]);
    const ready = await health.json();
    alert.hidden = health.ok;
    alert.textContent = health.ok ? "" : `Not up to date: ${ready.detail}`;
    draw(await studies.json());
  } catch (error) {
    alert.hidden = false;
    alert.textContent = "The API does not answer; what is shown may be old.";
  }
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, INTERVAL_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
loop();
