//! The changes themselves. Each blocks on the store, and holds [`Control::changes`] from its first look to its last
//! step, so that two changes, or a change and a reload of the file, never undo each other.

use std::{sync::Arc, time::Duration};

use tidegate_config::{
    check::Mode,
    identity::{StoredKey, mint, mint_for},
};
use tidegate_core::{
    clock::{self, UnixMillis},
    control::Selector,
    ids::{KeyId, KeyName},
    secret::Secret,
};
use tidegate_upstream::task;

use super::{Loan, Made, Removed, Revoked, no_such_key, view};
use crate::{
    answer::{Refusal, shown},
    control::Control,
    handlers::{
        edit_key::EditKey,
        new_key::{NewKey, expiry},
    },
    moment,
};

/// How long after a revocation calls are looked for once more: a call that was let in just before may not have been
/// among those in flight. Well under the second that revocation promises.
const SECOND_LOOK: Duration = Duration::from_millis(400);
/// How long a key is lent where nothing is said, and at most.
const USUAL_LOAN: Duration = Duration::from_secs(3_600);
const LONGEST_LOAN: Duration = Duration::from_secs(86_400);

pub(super) fn create(control: &Control, asked: NewKey) -> Result<Made, Refusal> {
    let _held = control.changes.lock();
    recordable(control)?;
    let active = control.live.current();
    let now = clock::wall();
    let meant = asked.check(&active.snapshot.document, control.mode, now)?;
    if active.snapshot.document.keys.contains_key(meant.name.as_str()) {
        return Err(Refusal::conflict(format!("the configuration file owns the key {}", shown(meant.name.as_str())))
            .hint("`POST /api/v1/keys/{name}/issue` makes its secret, or use another name"));
    }
    let (id, secret) = minted()?;
    let key = StoredKey {
        id,
        name: meant.name.clone(),
        org: control.org(),
        team: meant.team,
        digest: control.keys.pepper().digest(secret.expose()),
        created: now,
        expires: meant.expires,
        revoked: None,
        rules: Some(meant.rules),
    };
    let mut stored = control.key_store.all()?;
    if let Some(taken) = in_use(&stored, control, &meant.name) {
        return Err(name_taken(taken));
    }
    stored.push(key.clone());
    // Compiled before it is kept: a key that cannot be let in must not be there after a restart either.
    let next = control.with_keys(&stored)?;
    control.key_store.insert(&key)?;
    control.activate(next, stored, &format!("key {} made", shown(meant.name.as_str())));
    Ok(made(&key, &secret, meant.note))
}

pub(super) fn issue(control: &Control, name: &str) -> Result<Made, Refusal> {
    let _held = control.changes.lock();
    recordable(control)?;
    let active = control.live.current();
    let declared = active.snapshot.declared.iter().find(|declared| declared.name.as_str() == name);
    let Some(declared) = declared else {
        return Err(Refusal::not_found(format!("the configuration file declares no key {}", shown(name)))
            .hint("declare it under `keys`, or make one with `POST /api/v1/keys`"));
    };
    if declared.secret.is_some() {
        return Err(Refusal::conflict("the key's secret comes from the reference in the configuration file")
            .hint("remove `secret` there to have one made here"));
    }
    let mut stored = control.key_store.all()?;
    if let Some(taken) = in_use(&stored, control, &declared.name) {
        return Err(match taken.rules {
            None => Refusal::conflict("the key has a secret already").hint("rotate it for another, or revoke it first"),
            Some(_) => name_taken(taken),
        });
    }
    let (id, secret) = minted()?;
    let key = StoredKey {
        id,
        name: declared.name.clone(),
        org: declared.org.clone(),
        team: declared.team.clone(),
        digest: control.keys.pepper().digest(secret.expose()),
        created: clock::wall(),
        expires: None,
        revoked: None,
        rules: None,
    };
    stored.push(key.clone());
    let next = control.with_keys(&stored)?;
    control.key_store.insert(&key)?;
    control.activate(next, stored, &format!("key {} issued", shown(name)));
    let expires = declared.expires;
    Ok(made(&StoredKey { expires, ..key }, &secret, None))
}

/// Another secret of a valid key, for a while and in memory only. No revision changes: the key's rules are its own.
pub(super) fn lend(control: &Control, asked: &str, loan: &Loan) -> Result<Made, Refusal> {
    if control.mode != Mode::Up {
        return Err(Refusal::conflict("keys are lent only by a gateway that `tidegate up` runs")
            .hint("make one for whoever calls with `POST /api/v1/keys`"));
    }
    let now = clock::wall();
    let longest = now.plus(LONGEST_LOAN);
    let expires = loan.expires.as_deref().map(|text| expiry(text, now)).transpose()?;
    let expires = expires.unwrap_or_else(|| now.plus(USUAL_LOAN));
    if expires > longest {
        return Err(Refusal::invalid(format!("`expires`: {} is more than a day away", moment::text(expires)))
            .hint("make a key of its own with `POST /api/v1/keys`"));
    }
    let found = view::record(control, asked).ok_or_else(no_such_key)?;
    let secret = mint_for(found.id).map_err(|error| Refusal::unavailable("internal", error.to_string()))?;
    let digest = control.keys.pepper().digest(secret.expose());
    if !control.keys.lend(&found.org, found.id, digest, expires, now) {
        return Err(Refusal::conflict("the key is revoked or has expired").hint("make a new one"));
    }
    let name = found.name.to_string();
    tracing::info!(key = %found.id, name = %shown(&name), until = %moment::text(expires), "a key was lent");
    Ok(Made {
        id: found.id.to_string(),
        name,
        key: secret.expose().to_owned(),
        expires: Some(moment::text(found.expires.map_or(expires, |own| own.min(expires)))),
        note: None,
    })
}

/// Makes the new key, and says the old identifier.
pub(super) fn rotate(control: &Control, asked: &str) -> Result<(Made, KeyId), Refusal> {
    let _held = control.changes.lock();
    recordable(control)?;
    let key = find(control, asked)?;
    if key.revoked.is_some() {
        return Err(Refusal::conflict("the key is revoked, and stays so").hint("make a new one"));
    }
    let (id, secret) = minted()?;
    let digest = control.keys.pepper().digest(secret.expose());
    let mut stored = control.key_store.all()?;
    for known in stored.iter_mut().filter(|known| known.id == key.id) {
        known.id = id;
        known.digest = digest;
    }
    // Everything that may fail comes before the store forgets the old key: its new secret could not be shown again.
    let next = control.with_keys(&stored)?;
    control.key_store.rotate(&control.org(), key.id, id, &digest)?;
    control.activate(next, stored, &format!("key {} rotated", shown(key.name.as_str())));
    control.live_calls.cut(&Selector::Key(key.id));
    Ok((made(&StoredKey { id, digest, ..key.clone() }, &secret, None), key.id))
}

/// Changes what a key may, and says its identifier.
pub(super) fn edit(control: &Control, asked: &str, edit: EditKey, expected: Option<&str>) -> Result<KeyId, Refusal> {
    let _held = control.changes.lock();
    recordable(control)?;
    let key = find(control, asked)?;
    if key.revoked.is_some() {
        return Err(Refusal::conflict("the key is revoked, and stays so").hint("make a new one"));
    }
    let Some(rules) = &key.rules else {
        return Err(Refusal::conflict("the configuration file says what this key may")
            .hint("change it there; the file is read again at once"));
    };
    let present = view::find(control, key.id.as_str()).map(|view| view.tag());
    if expected.is_some_and(|expected| expected != "*" && present.as_deref() != Some(expected)) {
        return Err(Refusal::changed("the key was changed since it was read").hint("read it again, then edit it"));
    }
    let active = control.live.current();
    let (after, changes) = edit.apply(&key, rules, &active.snapshot.document, clock::wall())?;
    if changes.is_empty() {
        return Ok(key.id);
    }
    let mut stored = control.key_store.all()?;
    for known in stored.iter_mut().filter(|known| known.id == key.id) {
        *known = after.clone();
    }
    // Compiled before it is kept, as for a new key.
    let next = control.with_keys(&stored)?;
    control.key_store.update(&after)?;
    let reason = format!("key {} edited: {}", shown(key.name.as_str()), changes.join(", "));
    control.activate(next, stored, &reason);
    Ok(key.id)
}

/// Removes a key. It is refused first, in memory, so that it is void also where the store does not answer.
pub(super) fn remove(control: &Control, asked: &str) -> Result<(Removed, KeyId), Refusal> {
    let _held = control.changes.lock();
    recordable(control).map_err(|refusal| refusal.hint("revoke it: that waits for no record"))?;
    let key = find(control, asked)?;
    control.keys.revoke(&key.org, key.id, key.revoked.unwrap_or_else(clock::wall));
    let mut cut = control.live_calls.cut(&Selector::Key(key.id));
    if let Err(error) = control.key_store.remove(&key.org, key.id) {
        tracing::error!(%error, key = %key.id, "a key is not removed");
        let message = format!("the key is refused on this node from now on, but it is not removed: {error}");
        return Err(Refusal::unavailable("store_unavailable", message).hint("remove it again before the next restart"));
    }
    let stored = control.key_store.all()?;
    let next = control.with_keys(&stored)?;
    control.activate(next, stored, &format!("key {} removed", shown(key.name.as_str())));
    cut = cut.saturating_add(control.live_calls.cut(&Selector::Key(key.id)));
    Ok((Removed { id: key.id.to_string(), name: key.name.to_string(), cut }, key.id))
}

/// Revokes a key, in memory also where the store does not answer: then it is refused until the next start, and the
/// caller is told to try again.
pub(super) fn revoke(control: &Control, asked: &str) -> Result<(Revoked, KeyId), Refusal> {
    let _held = control.changes.lock();
    let key = find(control, asked)?;
    let now = clock::wall();
    let at = key.revoked.unwrap_or(now);
    let kept = control.key_store.revoke(&key.org, key.id, at);
    control.keys.revoke(&key.org, key.id, at);
    let mut cut = control.live_calls.cut(&Selector::Key(key.id));
    if let Err(error) = kept {
        tracing::error!(%error, key = %key.id, "a revocation is not kept");
        let message = format!("the key is refused on this node from now on, but that is not kept: {error}");
        return Err(Refusal::unavailable("store_unavailable", message).hint("revoke it again before the next restart"));
    }
    forget(control, &key, at);
    cut = cut.saturating_add(control.live_calls.cut(&Selector::Key(key.id)));
    let revoked = Revoked { id: key.id.to_string(), name: key.name.to_string(), revoked: moment::text(at), cut };
    Ok((revoked, key.id))
}

/// Takes the key's permits and scopes out of the snapshot. The key is refused already, so a failure changes nothing
/// about that.
fn forget(control: &Control, key: &StoredKey, at: UnixMillis) {
    let stored = control.key_store.all().map(|mut stored| {
        for known in stored.iter_mut().filter(|known| known.id == key.id) {
            known.revoked.get_or_insert(at);
        }
        stored
    });
    let result = stored.map_err(Refusal::from).and_then(|stored| {
        let next = control.with_keys(&stored)?;
        control.activate(next, stored, &format!("key {} revoked", shown(key.name.as_str())));
        Ok(())
    });
    if let Err(refusal) = result {
        tracing::error!(?refusal, key = %key.id, "a revoked key's rules stay in the revision");
    }
}

/// Ends what a revoked key still has in flight a little later.
pub(super) fn cut_once_more(control: &Arc<Control>, key: KeyId) {
    let live_calls = Arc::clone(&control.live_calls);
    drop(task::spawn("cut calls of a revoked key", async move {
        tokio::time::sleep(SECOND_LOOK).await;
        let late = live_calls.cut(&Selector::Key(key));
        if late > 0 {
            tracing::info!(%key, late, "calls of a revoked key were let in just before, and are ended");
        }
    }));
}

/// Where the audit log takes no records, no key is made: who made it would stand nowhere.
/// What decides is changed only where the change can be put on record.
pub(in crate::handlers) fn recordable(control: &Control) -> Result<(), Refusal> {
    if control.audit.writable() {
        return Ok(());
    }
    let reason = control.audit.status().reason.unwrap_or_else(|| "it has no room".to_owned());
    Err(Refusal::unavailable("audit_unavailable", format!("the audit log takes no records: {reason}")))
}

fn minted() -> Result<(KeyId, Secret), Refusal> {
    mint().map_err(|error| Refusal::unavailable("internal", error.to_string()))
}

/// The key of the store that has this name and is not revoked.
fn in_use<'a>(stored: &'a [StoredKey], control: &Control, name: &KeyName) -> Option<&'a StoredKey> {
    let org = control.org();
    stored.iter().find(|key| key.org == org && key.name == *name && key.revoked.is_none())
}

fn name_taken(taken: &StoredKey) -> Refusal {
    Refusal::conflict(format!("there is a key {} already", shown(taken.name.as_str())))
        .hint("revoke it, or use another name")
}

/// The key of the store with this id, or the one of this name that is not revoked.
fn find(control: &Control, asked: &str) -> Result<StoredKey, Refusal> {
    let stored = control.key_store.list(&control.org())?;
    let by_id = stored.iter().find(|key| key.id.as_str() == asked);
    let by_name = || stored.iter().find(|key| key.name.as_str() == asked && key.revoked.is_none());
    if let Some(key) = by_id.or_else(by_name) {
        return Ok(key.clone());
    }
    // The file's own keys are in no store.
    Err(match view::find(control, asked) {
        Some(_) => Refusal::conflict("the configuration file owns this key's secret")
            .hint("change or remove it there; the file is read again at once"),
        None => no_such_key(),
    })
}

fn made(key: &StoredKey, secret: &Secret, note: Option<&str>) -> Made {
    Made {
        id: key.id.to_string(),
        name: key.name.to_string(),
        key: secret.expose().to_owned(),
        expires: key.expires.map(moment::text),
        note: note.map(str::to_owned),
    }
}
