// A worker that takes every task of its persona: `npm install && npx tsx worker.ts alice writing`.
// COORD_NATS_URL names the server, COORD_CREDENTIALS the file with alice's key, COORD_PROJECT the project.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { headers, nkeyAuthenticator, PermissionViolationError } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";

const [actor = "alice", persona = "writing"] = process.argv.slice(2);
const { COORD_NATS_URL = "nats://127.0.0.1:4222", COORD_CREDENTIALS: file, COORD_PROJECT = "main" } = process.env;
const servers = COORD_NATS_URL.split(",").map((server) => new URL(server).host);
const authenticator = file ? nkeyAuthenticator(Buffer.from(readFileSync(file, "utf8").trim())) : undefined;
const nats = await connect({ servers, authenticator, inboxPrefix: `_INBOX.${actor}`, maxReconnectAttempts: -1 });

// What the server does not permit it says beside the answers: a worker that may not do its work ends.
(async () => {
  for await (const status of nats.status()) {
    if (status.type !== "error" || !(status.error instanceof PermissionViolationError)) continue;
    console.error(`${status.error}`);
    process.exit(1);
  }
})();

// Asked under one id until there is an answer, a command is carried out once.
async function ask<Result>(verb: string, fields: object = {}, timeout = 2_000): Promise<Result> {
  const subject = `coord.${COORD_PROJECT}.cmd.${actor}.${verb}`;
  const named = headers();
  named.set("Nats-Msg-Id", randomUUID());
  for (let attempts = 60; ; attempts--) {
    const { ok, result, error } = await nats.request(subject, JSON.stringify(fields), { timeout, headers: named }).then(
      (answer) => answer.json<any>(), (why) => ({ error: { code: "no_answer", message: `${why}`, retryable: true } }));
    if (ok) return result;
    if (!error.retryable || attempts <= 1) throw new Error(`${error.code}: ${error.message}`);
    await sleep(1_000 * (error.retry_after_s ?? 0.5) * (1 + Math.random()));
  }
}

type Task = { task: string; fence: number; title: string; input: unknown };
async function work(task: Task): Promise<unknown> { // here goes what the worker is for
  return { words: task.title.split(" ").length };
}

await ask("agent.spawn", { persona, platform: "typescript" });
setInterval(() => ask("agent.heartbeat").catch((error) => console.error(`${error}`)), 20_000);
process.once("SIGTERM", () => ask("agent.leave", { reason: "told to stop" }).finally(() => process.exit()));
for (;;) {
  for (const task of (await ask<{ tasks: Task[] }>("task.claim", { wait_s: 30 }, 5_000)).tasks) {
    const lease = { task: task.task, fence: task.fence };
    await work(task)
      .then((result) => ask("task.complete", { ...lease, result }))
      .catch((error) => ask("task.fail", { ...lease, error: `${error}` }))
      .catch((error) => console.error(`${error}`)); // whoever lost the lease is refused: another has the task
  }
}
