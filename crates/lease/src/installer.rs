use crate::RevisionName;

/// Decides which snapshot replaces which (T3, T6).
///
/// A higher number is not reason enough, and a lower one no reason against. After a failover or a
/// restore the database's history is another one: revision 9 of the lost history knows nothing of
/// revision 7 of the new one, which may have ended a key. So it is not the numbers that order two
/// snapshots but their loading: a load that *began* after the last one was *received* shows the
/// database at a later time. There is therefore one load at a time, and a load that was begun anew
/// makes the older one worthless, whatever number it brings.
///
/// A snapshot that is loaded later with a number that is not higher, under another name, is of another
/// history. It is installed, since it is what the database says; but before it decides anything the
/// replica gives up its lease ([`Installing::replaces_history`]), and gets one again only when the
/// primary itself agrees in a renewal that this very pair is its own. So neither a history that
/// has changed, nor a standby read by mistake, can take a replica back behind what it has reported as
/// settled while it still serves.
#[derive(Debug, Default)]
pub struct Installer {
    begun_count: u64,
    loading: Option<u64>,
    installed: Option<RevisionName>,
    settled: Option<RevisionName>,
}

/// A load that has begun.
#[derive(Debug)]
#[must_use]
pub struct Load(u64);

/// A snapshot that is being installed, until its cut is done.
#[derive(Debug)]
#[must_use = "what the snapshot no longer allows has to be cut, and then reported by `cut_done`"]
pub struct Installing {
    name: RevisionName,
    replaces_history: bool,
}

/// The proof that a revision is installed and its cut is done. Nothing else can be reported to the
/// store as settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled(RevisionName);

/// What to do with a snapshot that was loaded.
#[derive(Debug)]
pub enum Loaded {
    /// Let it decide, judge every open response by it, cut what it does not allow, and then say so by
    /// [`Installer::cut_done`].
    Install(Installing),
    /// It is the one that decides already, and its cut is done.
    Current(Settled),
    /// A later load has begun: it must not decide.
    Abandoned,
}

impl Installer {
    /// Begins with nothing installed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a load; call it before the transaction that reads the store. A load that has begun
    /// earlier and has not been received is abandoned.
    pub const fn begin(&mut self) -> Load {
        self.begun_count += 1;
        self.loading = Some(self.begun_count);
        Load(self.begun_count)
    }

    /// Takes what `load` has read.
    #[expect(clippy::needless_pass_by_value, reason = "a load is received once")]
    pub fn loaded(&mut self, load: Load, name: RevisionName) -> Loaded {
        if self.loading != Some(load.0) {
            return Loaded::Abandoned;
        }
        self.loading = None;
        if self.settled.as_ref() == Some(&name) {
            return Loaded::Current(Settled(name));
        }
        let replaces_history = self
            .installed
            .as_ref()
            .is_some_and(|installed| installed.revision >= name.revision && *installed != name);
        self.installed = Some(name.clone());
        self.settled = None;
        Loaded::Install(Installing { name, replaces_history })
    }

    /// Takes the word that every open response was judged by the snapshot, and that no byte of those it
    /// does not allow will be handed on.
    pub fn cut_done(&mut self, installing: Installing) -> Settled {
        if self.installed.as_ref() == Some(&installing.name) {
            self.settled = Some(installing.name.clone());
        }
        Settled(installing.name)
    }

    /// Names the snapshot that decides.
    #[must_use]
    pub const fn installed(&self) -> Option<&RevisionName> {
        self.installed.as_ref()
    }
}

impl Installing {
    /// Whether the snapshot is of another history than the one that it replaces. Then, before it is let
    /// decide: [`crate::Holder::forfeit`], and cut everything.
    #[must_use]
    pub const fn replaces_history(&self) -> bool {
        self.replaces_history
    }
}

impl Settled {
    /// Names the revision.
    #[must_use]
    pub const fn name(&self) -> &RevisionName {
        &self.0
    }

    pub(crate) fn into_name(self) -> RevisionName {
        self.0
    }
}
