// A certified OAuth provider as the judge of the broker: npm `oidc-provider`, nothing of ours in its token
// endpoint. Every use of a refresh token rotates it; a second use revokes the whole grant.
//
//   node provider.mjs [access token lifetime, in seconds]
//
// Prints one line of JSON (where it listens, its client's credentials) and dies when its stdin closes.
//   POST /control/grants {"count": n}   n consents as if given in a browser -> {"refresh_tokens": [...]}
//   GET  /control/state                 what the provider's own events say
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { Provider } from "oidc-provider";
import { MapAdapter } from "./adapter.mjs";

const DAY = 86_400;
const SCOPE = "openid offline_access";
const CLIENT = { client_id: "broker", client_secret: "a-secret-of-the-test" };

const server = createServer();
server.listen(0, "127.0.0.1");
await once(server, "listening");
const issuer = `http://127.0.0.1:${server.address().port}`;

const signing = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
const provider = new Provider(issuer, {
  adapter: MapAdapter,
  clients: [
    {
      ...CLIENT,
      token_endpoint_auth_method: "client_secret_post",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [`${issuer}/unused`],
      id_token_signed_response_alg: "ES256",
    },
  ],
  clockTolerance: 0,
  cookies: { keys: ["unused"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  jwks: { keys: [{ ...signing, use: "sig", alg: "ES256" }] },
  rotateRefreshToken: true,
  ttl: { AccessToken: Number(process.argv[2] ?? 3), Grant: DAY, IdToken: DAY, RefreshToken: DAY },
});

const state = { refreshes: 0, errors: [], revoked: [] };
const grants = [];
provider.on("grant.success", () => (state.refreshes += 1));
provider.on("grant.error", (_, error) => state.errors.push(`${error.error}: ${error.error_detail}`));
provider.on("server_error", (_, error) => state.errors.push(`server_error: ${error}`));
provider.on("grant.revoked", (_, grant) => state.revoked.push(grant));

async function consent(number) {
  const client = await provider.Client.find(CLIENT.client_id);
  const accountId = `account-${number}`;
  const grant = new provider.Grant({ accountId, clientId: client.clientId });
  grant.addOIDCScope(SCOPE);
  const grantId = await grant.save();
  grants.push(grantId);
  const token = new provider.RefreshToken({
    accountId,
    client,
    grantId,
    gty: "authorization_code",
    authTime: Math.floor(Date.now() / 1000),
    scope: SCOPE,
  });
  return token.save();
}

const control = {
  "POST /control/grants": async (request) => {
    const refresh_tokens = [];
    for (let left = (await json(request)).count; left > 0; left -= 1) {
      refresh_tokens.push(await consent(grants.length));
    }
    return { refresh_tokens };
  },
  "GET /control/state": async () => {
    const found = await Promise.all(grants.map((id) => provider.Grant.find(id)));
    return { ...state, alive: found.filter(Boolean).length };
  },
};

const oauth = provider.callback();
server.on("request", async (request, response) => {
  const answer = control[`${request.method} ${request.url}`];
  if (!answer) return oauth(request, response);
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(await answer(request)));
});

process.stdin.on("close", () => process.exit()).resume();
console.log(
  JSON.stringify({ token_endpoint: `${issuer}/token`, userinfo_endpoint: `${issuer}/me`, issuer, ...CLIENT }),
);
