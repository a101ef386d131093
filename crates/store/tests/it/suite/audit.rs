use keys::{RevokedId, Slot};
use sqlx::ConnectOptions as _;

#[tokio::test]
async fn every_change_leaves_its_row_with_who_and_what() {
    let fixture = super::fixture().await;
    let id = fixture.issue(Slot::Primary).await.id;
    fixture.store.revoke(&fixture.owner(), RevokedId::Key(id)).await.unwrap();
    fixture.store.revoke(&fixture.owner(), RevokedId::Key(id)).await.unwrap();
    fixture.regenerate(Slot::Secondary).await;

    let options: sqlx::any::AnyConnectOptions = fixture.url().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT caller, action, subject FROM audit_events ORDER BY id")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let id = id.to_string();
    let expected = [
        ("ivy", "issueApiKey", id.as_str()),
        ("ada", "revokeApiKey", id.as_str()),
        ("ada", "regenerateAccessKey", "secondary"),
    ];
    let rows: Vec<_> =
        rows.iter().map(|(by, what, on)| (by.as_str(), what.as_str(), on.as_str())).collect();
    assert_eq!(rows, expected);
}
