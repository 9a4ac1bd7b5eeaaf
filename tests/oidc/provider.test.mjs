// The oracle bites: what it would do to a broker that spends a refresh token twice.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

let child;
let facts;

before(async () => {
  child = spawn(process.execPath, [new URL("provider.mjs", import.meta.url).pathname, "2"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = await once(createInterface(child.stdout), "line");
  facts = JSON.parse(line);
});

after(async () => {
  child.stdin.end(); // it dies when its stdin closes
  await once(child, "exit");
});

const control = async (path, body) =>
  (await fetch(facts.issuer + path, body && { method: "POST", body: JSON.stringify(body) })).json();

async function refresh(refresh_token) {
  const { client_id, client_secret } = facts;
  const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token, client_id, client_secret });
  const response = await fetch(facts.token_endpoint, { method: "POST", body });
  return { status: response.status, ...(await response.json()) };
}

async function accepted(access_token) {
  const headers = { authorization: `Bearer ${access_token}` };
  return (await fetch(facts.userinfo_endpoint, { headers })).status === 200;
}

test("each use rotates, and the access token lives as long as it says", async () => {
  const [first] = (await control("/control/grants", { count: 1 })).refresh_tokens;
  const answer = await refresh(first);
  assert.equal(answer.status, 200);
  assert.equal(answer.expires_in, 2);
  assert.notEqual(answer.refresh_token, first);
  assert.ok(await accepted(answer.access_token));
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  assert.ok(!(await accepted(answer.access_token)));
  assert.equal((await refresh(answer.refresh_token)).status, 200);
  const state = await control("/control/state");
  assert.deepEqual([state.refreshes, state.revoked, state.alive], [2, [], 1]);
});

test("a second use of a refresh token revokes the whole grant", async () => {
  const before = await control("/control/state");
  const [used] = (await control("/control/grants", { count: 1 })).refresh_tokens;
  const answer = await refresh(used);
  assert.equal((await refresh(used)).error, "invalid_grant");
  assert.ok(!(await accepted(answer.access_token)), "the access token died with the grant");
  assert.equal((await refresh(answer.refresh_token)).error, "invalid_grant", "and so did the successor");
  const state = await control("/control/state");
  assert.equal(state.revoked.length, before.revoked.length + 1);
  assert.equal(state.alive, before.alive, "the other grants live");
  assert.match(state.errors.at(-2), /refresh token already used/);
});

test("two uses at once revoke the grant too", async () => {
  const before = await control("/control/state");
  const [used] = (await control("/control/grants", { count: 1 })).refresh_tokens;
  await Promise.all([refresh(used), refresh(used)]);
  assert.equal((await control("/control/state")).revoked.length, before.revoked.length + 1);
});
