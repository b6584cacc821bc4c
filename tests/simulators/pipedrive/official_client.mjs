// What the vendor's own client for Node does against a simulator; prints what it found as JSON.
// node official_client.mjs FOLDER URL TOKEN, where FOLDER/node_modules holds the package `pipedrive`.

import { createRequire } from "node:module";

const [folder, url, token] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const v1 = require("pipedrive/v1");
const v2 = require("pipedrive/v2");
const former = new v1.Configuration({ apiKey: token, basePath: `${url}/api/v1` });
const current = new v2.Configuration({ apiKey: token, basePath: `${url}/api/v2` });
const persons = new v2.PersonsApi(current);
const deals = new v2.DealsApi(current);
const hooks = new v1.WebhooksApi(former);

const listed = [];
let cursor;
do {
  const page = await persons.getPersons({ limit: 50, cursor });
  listed.push(...page.data.map((person) => person.id));
  cursor = page.additional_data.next_cursor ?? undefined;
} while (cursor);

const emails = [{ value: "ada@x.example" }];
const made = (await persons.addPerson({ AddPersonRequest: { name: "Ada King", emails } })).data;
const changed = await persons.updatePerson({ id: made.id, UpdatePersonRequest: { name: "Ada Byron" } });
const found = await persons.searchPersons({ term: "ada@x.example", exact_match: true });
const deal = (await deals.addDeal({ AddDealRequest: { title: "Engine", person_id: made.id } })).data;
const fields = await new v2.DealFieldsApi(current).getDealFields({ limit: 500 });
const hook = (
  await hooks.addWebhook({
    AddWebhookRequest: {
      subscription_url: "https://here.example/x",
      event_action: "*",
      event_object: "*",
      name: "All",
    },
  })
).data;
const subscribed = (await hooks.getWebhooks()).data.length;
await hooks.deleteWebhook({ id: hook.id });
await persons.deletePerson({ id: made.id });

console.log(
  JSON.stringify({
    listed,
    made: made.id,
    lastName: changed.data.last_name,
    found: found.data.items.map((each) => each.item.id),
    stage: deal.stage_id,
    fields: fields.data.length,
    me: (await new v1.UsersApi(former).getCurrentUser()).data.company_domain,
    leads: (await new v1.LeadsApi(former).getLeads({})).data.length,
    archived: (await deals.getArchivedDeals({})).data.length,
    subscribed,
  }),
);
