//! The limit's calls to the pretend ALC and Attio: the connector's HTTP client, and nothing around it.

use serde::Deserialize;
use serde_json::{Value, json};

/// What a press sends.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Lead {
    pub(super) record_id: String,
    name: String,
    phone_number: String,
}

impl Lead {
    /// As it is stored.
    pub(super) fn document(&self) -> String {
        json!({ "record_id": self.record_id, "name": self.name, "phone_number": self.phone_number, "status": "queued" })
            .to_string()
    }
}

/// A client of one worker's own.
pub(super) struct Upstream {
    client: reqwest::Client,
    url: String,
}

impl Upstream {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        // Fails when a provider is installed already, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// `POST` at ALC; ALC's id of the lead.
    pub(super) async fn submit(&self, lead: &Lead) -> Option<String> {
        let body =
            json!({ "recordId": lead.record_id, "name": lead.name, "phoneNumber": lead.phone_number }).to_string();
        let request = self.client.post(format!("{}/api/v1/leads", self.url)).bearer_auth("access-code-0");
        let request = request.header("idempotency-key", &lead.record_id).header("content-type", "application/json");
        let answer = request.body(body).send().await.ok()?.error_for_status().ok()?.bytes().await.ok()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        answer["id"].as_str().map(str::to_owned)
    }

    /// `PATCH` at Attio. A failure shows in the run as a record that Attio was never told about.
    pub(super) async fn show(&self, record: &str, lead_id: &str, status: &str, result: Option<&str>) {
        let mut values = json!({ "alc_status": [status], "alc_lead_id": [lead_id] });
        if let Some(result) = result {
            values["alc_result"] = json!([result]);
        }
        let body = json!({ "data": { "values": values } }).to_string();
        let request = self.client.patch(format!("{}/v2/objects/people/records/{record}", self.url));
        let request = request.bearer_auth("access-code-0").header("content-type", "application/json");
        if let Ok(answer) = request.body(body).send().await {
            drop(answer.bytes().await);
        }
    }
}
