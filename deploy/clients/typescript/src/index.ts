/**
 * Client of Vitrin's services: one key, one typed client per service.
 *
 *     const vitrin = connect("vk_live_...");
 *     const item = await done(vitrin.catalog.GET("/v1/items/{item_id}", { params: { path: { item_id: "mug" } } }));
 *
 * `done` gives what was answered, or throws `ApiProblem` with the stable code, what was wrong and what to do. A creating
 * call that may have been sent is repeated with the same Idempotency-Key.
 */
import createClient from "openapi-fetch";
import type { paths as Accounts } from "./accounts.js";
import type { paths as Catalog } from "./catalog.js";
import type { paths as Notify } from "./notify.js";
import type { paths as Retargeting } from "./retargeting.js";
import type { paths as ShopSync } from "./shop_sync.js";

export type { Accounts, Catalog, Notify, Retargeting, ShopSync };

export interface Urls {
  accounts: string;
  catalog: string;
  shopSync: string;
  notify: string;
  retargeting: string;
}

export const local: Urls = {
  accounts: "http://127.0.0.1:8001",
  catalog: "http://127.0.0.1:8002",
  shopSync: "http://127.0.0.1:8003",
  notify: "http://127.0.0.1:8006",
  retargeting: "http://127.0.0.1:8005",
};

/** An answer that is not a success (RFC 9457). Programs decide by `code`; `fix` says what to do. */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly fix: string,
    readonly retryAfterS: number | null,
  ) {
    super(`${status} ${code}: ${detail} ${fix}`.trim());
    this.name = "ApiProblem";
  }
}

/** `urls`: of the services that are elsewhere than on this machine. */
export function connect(key: string, urls: Partial<Urls> = {}) {
  const where = { ...local, ...urls };
  const headers = { Authorization: `Bearer ${key}` };
  return {
    accounts: createClient<Accounts>({ baseUrl: where.accounts, headers }),
    catalog: createClient<Catalog>({ baseUrl: where.catalog, headers }),
    shopSync: createClient<ShopSync>({ baseUrl: where.shopSync, headers }),
    notify: createClient<Notify>({ baseUrl: where.notify, headers }),
    retargeting: createClient<Retargeting>({ baseUrl: where.retargeting, headers }),
  };
}

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What a call was answered. Throws ApiProblem. */
export async function done<T>(call: Promise<Answered<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok) return data as T;
  const problem = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
  throw new ApiProblem(
    response.status,
    String(problem.code ?? "unreadable_answer"),
    String(problem.detail ?? ""),
    String(problem.fix ?? ""),
    Number.isFinite(retryAfter) ? retryAfter : null,
  );
}
