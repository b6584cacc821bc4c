"""What people call a record, for lists with records of every kind. Parts of statements, not statements."""

from __future__ import annotations

#: To be selected where `OF_PAGE` is joined.
LABEL = """coalesce(nullif(lc.full_name, ''), nullif(lc.email, ''), nullif(btrim(lp.name), ''),
  nullif(lp.domain, ''), nullif(btrim(ld.name), ''), nullif(btrim(la.subject), ''), la.type,
  nullif(btrim(lt.subject), ''), lo.name, '') as label"""
#: Joins to `p`, a page of rows with `record_type` and `record_id`: one look-up for each row of the page.
OF_PAGE = """
left join crm.contacts lc on lc.tenant_id = %(tenant_id)s and lc.id = p.record_id
  and p.record_type = 'contact'
left join crm.companies lp on lp.tenant_id = %(tenant_id)s and lp.id = p.record_id
  and p.record_type = 'company'
left join crm.deals ld on ld.tenant_id = %(tenant_id)s and ld.id = p.record_id and p.record_type = 'deal'
left join crm.activities la on la.tenant_id = %(tenant_id)s and la.id = p.record_id
  and p.record_type = 'activity'
left join crm.tasks lt on lt.tenant_id = %(tenant_id)s and lt.id = p.record_id and p.record_type = 'task'
left join crm.owners lo on lo.tenant_id = %(tenant_id)s and lo.id = p.record_id and p.record_type = 'owner'
"""
