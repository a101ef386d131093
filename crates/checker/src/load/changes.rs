use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use keys::{ApiKeyId, ChildId, Presented, Scope, Scopes, Slot, SysRng, Terms};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{Client, Managed, NoAnswer, Question};
use super::ring::Held;
use super::{Load, Way};
use crate::history::{KeyRecord, Outcome, Target};

/// How many keys each slot has at a time, and as many that were narrowed from them.
const KEYS: usize = 2;

impl Load {
    /// Issues keys of a slot, lets them be used for a moment, and ends them.
    pub(super) async fn change_for_ever(self: &Arc<Self>, app: usize, slot: Slot, pause: u64) {
        let mut rng = self.rng();
        let client = Client::new();
        loop {
            self.stock(app, slot, &mut rng).await;
            sleep(Duration::from_millis(rng.u64(pause..2 * pause))).await;
            let dice = rng.u8(0..10);
            let one = self.any_current(app, slot, &mut rng);
            match one {
                Some(held) if dice >= 8 => {
                    let target = match held.child {
                        Some(child) if dice == 8 => Target::Child(child),
                        Some(_) | None => Target::Key(held.id),
                    };
                    self.change(&client, app, target, &mut rng).await;
                }
                Some(_) | None => {
                    // Sometimes twice at once, by two ways.
                    let mut other = Rng::with_seed(rng.u64(..));
                    let target = Target::Slot(slot);
                    let first = self.change(&client, app, target, &mut rng);
                    if dice < 2 {
                        tokio::join!(first, self.change(&client, app, target, &mut other));
                    } else {
                        first.await;
                    }
                }
            }
        }
    }

    async fn stock(&self, app: usize, slot: Slot, rng: &mut Rng) {
        for _ in 0..KEYS {
            let Some(way) = self.any_way(app, rng) else { return };
            if let Some(held) = self.issue(way, slot).await
                && let Some(mut ring) = self.ring(app)
            {
                let narrowed = self.narrow(&held, app);
                ring.add(held);
                ring.extend(narrowed);
            }
        }
    }

    fn any_way(&self, app: usize, rng: &mut Rng) -> Option<&Way> {
        let ways: Vec<&Way> = self.ways.iter().filter(|way| way.app == app).collect();
        ways.get(rng.usize(0..ways.len().max(1))).copied()
    }

    fn any_current(&self, app: usize, slot: Slot, rng: &mut Rng) -> Option<Held> {
        self.ring(app)?.current_of(slot, rng)
    }

    /// Asks for a key.
    pub(super) async fn issue(&self, way: &Way, slot: Slot) -> Option<Held> {
        let asked = self.recorder.now();
        let body = json!({ "keyType": slot.as_str(), "serverName": "first" });
        let operation = "listMcpServerUrl";
        let client = Client::new();
        let answer = client.manage(way, &self.token, operation, "&getApikey=true", &body).await;
        let Managed { status, body } = answer.ok()?;
        if status != StatusCode::OK {
            return None;
        }
        let body: Value = serde_json::from_str(&body).ok()?;
        let text = body.pointer("/headers/X-API-Key")?.as_str()?;
        let presented = Presented::parse(text.as_bytes()).ok()?;
        let known = self.recorder.now();
        let record = self.recorder.key(KeyRecord {
            app: way.app,
            slot,
            access_key: presented.access_key_id(),
            id: presented.key_id(),
            child: None,
            asked,
            known,
        });
        Some(Held::new(record, slot, presented.key_id(), None, text))
    }

    /// Makes a key that reaches both servers and nothing else, as whoever holds a key can.
    fn narrow(&self, held: &Held, app: usize) -> Option<Held> {
        let presented = Presented::parse(held.expose().as_bytes()).ok()?;
        let child = ChildId::generate(&mut SysRng).ok()?;
        let scopes =
            ["events", "first"].map(Scope::parse).into_iter().collect::<Result<Vec<_>, _>>();
        let scopes = Scopes::new(scopes.ok()?).ok();
        let key = presented.narrow(child, &Terms { not_after: None, scopes }).ok()?;
        let asked = self.recorder.history().keys.get(held.record)?.asked;
        let (access_key, id) = (presented.access_key_id(), presented.key_id());
        let known = self.recorder.now();
        let slot = held.slot;
        let record = KeyRecord { app, slot, access_key, id, child: Some(child), asked, known };
        let record = self.recorder.key(record);
        Some(Held::new(record, slot, id, Some(child), key.expose()))
    }

    /// Ends keys by any way, and asks everywhere with them as soon as that has returned.
    async fn change(&self, client: &Client, app: usize, target: Target, rng: &mut Rng) {
        let Some(way) = self.any_way(app, rng) else { return };
        let (operation, body) = match target {
            Target::Slot(slot) => {
                ("regenerateMcpServerAccessKey", json!({ "keyType": slot.as_str() }))
            }
            Target::Key(id) => ("revokeMcpApiKey", json!({ "id": id.to_string() })),
            Target::Child(id) => ("revokeMcpApiKey", json!({ "id": id.to_string() })),
        };
        let change = self.recorder.change_begins(app, target, way.via);
        let answer = client.manage(way, &self.token, operation, "", &body).await;
        let outcome = outcome(way, answer);
        self.recorder.change_ends(change, outcome);
        let is_ended = |held: &Held| ends(target, held.slot, held.id, held.child);
        let ended = self.ring(app).map(|mut ring| ring.end(is_ended)).unwrap_or_default();
        self.ask_everywhere(app, &ended, rng);
    }

    /// The moment at which it matters most.
    fn ask_everywhere(&self, app: usize, ended: &[Held], rng: &mut Rng) {
        for way in self.ways.iter().filter(|way| way.app == app) {
            let index = rng.usize(0..ended.len().max(1));
            let Some(held) = ended.get(index).cloned() else { return };
            let (way, recorder) = (way.clone(), self.recorder.clone());
            let question = Question::any(rng);
            self.spawn(async move {
                Client::new().ask(&recorder, &way, &held, question).await;
            });
        }
    }
}

const fn is_over(via: crate::history::Via) -> bool {
    matches!(via, crate::history::Via::Replica(_))
}

fn ends(target: Target, slot: Slot, id: ApiKeyId, child: Option<ChildId>) -> bool {
    match target {
        Target::Slot(of) => of == slot,
        Target::Key(of) => of == id,
        Target::Child(of) => child == Some(of),
    }
}

fn outcome(way: &Way, answer: Result<Managed, NoAnswer>) -> Outcome {
    let Managed { status, body } = match answer {
        Ok(managed) => managed,
        Err(NoAnswer::NotSent) => return Outcome::NotSent,
        // Its process is gone, or nginx has lost it.
        Err(NoAnswer::Lost) => return Outcome::Unknown { is_over: is_over(way.via) },
    };
    match status.as_u16() {
        200 => Outcome::InForce,
        503 if body.contains("NotYetInForce") => Outcome::NotYet,
        status @ 400..500 => Outcome::Refused { status },
        // Keyward's own errors say that the operation is over; nginx's know nothing of it.
        _ => Outcome::Unknown { is_over: body.contains("\"error\"") },
    }
}
