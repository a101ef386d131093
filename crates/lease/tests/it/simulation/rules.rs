/// A rule of the protocol that is broken on purpose. Nothing of this is in the crate: the simulation
/// does the wrong thing around the same values that a replica uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// T1: the snapshot answers after the lease has ended.
    PastLease,
    /// T2: a response is registered after its key was checked.
    RegisterAfterCheck,
    /// T2: what is open is ended by a timer alone, and not asked by the clock at every frame.
    TimerOnly,
    /// T3: a snapshot that was loaded earlier is installed over a newer one.
    OlderInstalled,
    /// T3: a snapshot of another history decides under the lease that the one before it had.
    LeaseKept,
    /// T3: a revision is reported as settled before its cut is done.
    AcknowledgeBeforeCut,
    /// T4: the holder counts its lease from the answer.
    FromReceipt,
    /// T4: the holder counts as long as a waiter, whatever the rates of their clocks.
    NoMargin,
    /// T4: a process takes the id of the one before it.
    ReusedId,
    /// T4: a crash of the database takes a registration back that was answered.
    RegistrationUnflushed,
    /// T4: a waiter believes the database's wall clock when it says that a lease has ended.
    DatabaseWallClock,
    /// T4: a dismissal does not ask whether the counter still stands.
    DismissAnyCounter,
    /// T4: a waiter goes on counting by a connection that may lead to another server.
    CountedAcrossConnections,
    /// T5: the revision is read without a lock.
    NoForShare,
    /// T5: what is not settled is granted.
    LaggardGranted,
    /// T6: only numbers are compared.
    NumbersOnly,
    /// T6: what is reported is written down also where nothing is granted.
    ContactSettles,
    /// T7: the increment comes first, and nothing bounds how long its row is held.
    RowHeld,
}
