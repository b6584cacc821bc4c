drop table app.retention_runs, app.retention;
drop function sync.open_erasures(timestamptz);
drop function sync.close_gate(uuid);
drop function sync.pass_gate(uuid);
drop table sync.erased_identities, sync.erasure_keys, sync.remote_erasures, sync.erasures;
drop function app.blank_changes(jsonb);
drop function app.redact_json(jsonb, text[]);
drop function app.redact_text(text, text[]);
drop function app.mentions(text, text[], text[]);
