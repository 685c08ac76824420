//! Operations `healthz`, `readyz`, `metrics` and `version`; stopping, and a store that is down.

use std::process::Stdio;

use sandbox::{Callback, Fault, Stage};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    ambient::{PATIENCE, Stopwatch, eventually, spawn},
    harness::{HOUR, MINUTE, Setup, World, run, scenario},
    http::send,
    process::Process,
    raw::post_lead,
};

scenario! {
    async fn the_probes_are_on_both_listeners_and_the_rest_on_one(setup: Setup) {
        let world = setup.start().await;
        for replica in world.replicas() {
            for address in [replica.public, replica.management] {
                send(world.client.get(format!("http://{address}/healthz"))).await.expect(200);
                send(world.client.get(format!("http://{address}/readyz"))).await.expect(200);
            }
            send(world.client.get(format!("http://{}/version", replica.management))).await.expect(200);
            for path in ["metrics", "version"] {
                let hidden = world.client.get(format!("http://{}/{path}", replica.public)).send().await;
                assert_eq!(hidden.expect("an answer").status(), 404, "{path} is not for everybody");
            }
        }
    }
}

scenario! {
    async fn the_metrics_tell_of_requests_calls_callbacks_and_depths(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        let metrics = send(world.client.get(format!("http://{}/metrics", world.replicas()[0].management))).await;
        let text = metrics.expect(200).body;
        for told in ["/v1/leads", "callback", "kind=\"lead\"", "status=\"complete\""] {
            assert!(text.contains(told), "no {told} in:\n{text}");
        }
        for secret in [ada.phone.as_str(), ada.name.as_str(), ada.record_id.as_str(), "whsec_"] {
            assert!(!text.contains(secret), "{secret} is nobody's business");
        }
    }
}

scenario! {
    /// Of a lead's whole life every promised measure has a line.
    async fn the_metrics_tell_how_long_each_part_of_a_leads_life_took(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        let bob = world.person();
        world.alc.server().go_down().await;
        app.press(&bob).await.expect(202);
        world.alc.server().come_up().await;
        let out = async || app.lead_says(&bob, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, out).await;
        let metrics = send(world.client.get(format!("http://{}/metrics", world.replicas()[0].management))).await;
        let text = metrics.expect(200).body;
        for told in [
            r#"alc_connector_send_duration_seconds_count{outcome="sent"}"#,
            r#"alc_connector_send_duration_seconds_count{outcome="queued"}"#,
            r#"alc_connector_result_delay_seconds_count{title="complete"}"#,
            r#"alc_connector_result_delay_seconds_bucket{title="complete",le="3600"}"#,
            r#"alc_connector_lease_delay_seconds_count{kind="lead"}"#,
            r#"alc_connector_gate_wait_seconds_count{upstream="attio"}"#,
            r#"alc_connector_gate_reports_total{upstream="alc",report="failed"}"#,
            r#"alc_connector_breaker_open{upstream="alc"}"#,
            r#"alc_connector_steps_total{kind="lead",step="submit",outcome="done"}"#,
            r#"alc_connector_steps_total{kind="lead",step="submit",outcome="failed"}"#,
            r#"alc_connector_steps_total{kind="lead",step="show",outcome="done"}"#,
            r#"alc_connector_token_refreshes_total{outcome="dead"}"#,
            r#"alc_connector_store_operation_duration_seconds_count{operation="commit"}"#,
            r#"alc_connector_store_errors_total{operation="load"}"#,
            "alc_connector_store_conflicts_total ",
            r#"alc_connector_leases_lost_total{kind="lead"}"#,
            r#"alc_connector_build_info{version=""#,
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_start_time_seconds ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(told)), "no {told} in:\n{text}");
        }
    }
}

#[test]
#[ignore = "asks promtool: `make promtool` runs it"]
fn what_is_measured_is_what_prometheus_expects() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        let metrics = send(world.client.get(format!("http://{}/metrics", world.replicas()[0].management))).await;
        assert_eq!(promtool_says(metrics.expect(200).body).await, "", "promtool check metrics");
    });
}

/// What `promtool check metrics` finds fault with.
async fn promtool_says(metrics: String) -> String {
    let promtool = super::compat::versions::variable("PROMTOOL").expect("PROMTOOL says where promtool is");
    let mut promtool = tokio::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    promtool.stdin.take().expect("it is piped").write_all(metrics.as_bytes()).await.expect("promtool reads");
    let said = promtool.wait_with_output().await.expect("promtool ends");
    format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}

scenario! {
    async fn an_outage_of_both_upstreams_fails_no_probe(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        world.alc.server().go_down().await;
        world.attio.server().go_down().await;
        app.press(&world.person()).await.expect(202);
        world.pass_slowly(MINUTE, 3).await;
        for path in ["healthz", "readyz"] {
            // A loop may not have seen yet that minutes have passed.
            let probe = async || send(world.client.get(format!("{}/{path}", world.url()))).await.status == 200;
            eventually("the probe is content", async || probe().await.then_some(())).await;
        }
    }
}

scenario! {
    async fn a_restart_loses_nothing(setup: Setup) {
        let (mut world, app) = setup.impatient().connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.alc.server().go_down().await;
        app.press(&bob).await.expect(202);
        world.restart().await;
        world.alc.server().come_up().await;
        let out = async || app.lead_says(&bob, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, out).await;
        for person in [&ada, &bob] {
            world.call_back(person, "qualified").await;
            world.shows(person, "Complete").await;
        }
    }
}

scenario! {
    async fn keys_are_rotated_without_disconnecting_anybody(setup: Setup) {
        let (mut world, app) = setup.impatient().connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.alc.server().go_down().await;
        app.press(&bob).await.expect(202);
        world.settings.rotate_keys();
        world.restart().await;
        world.alc.server().come_up().await;
        let token = app.access_token();
        app.connection().await.expect(200);
        assert_eq!(app.access_token(), token, "the previous key verifies");
        let out = async || app.lead_says(&bob, "status").await == "pending";
        world.pass_until("what it sealed is opened", MINUTE, HOUR, out).await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.settings.rotate_keys();
        world.restart().await;
        let request = world.client.get(format!("{}/v1/connection", world.url())).bearer_auth(&token);
        send(request).await.expect_problem(401, "unauthorized");
        app.refresh().await.expect(200);
        app.connection().await.expect(200);
    }
}

scenario! {
    async fn what_is_under_way_finishes_before_it_stops(setup: Setup) {
        let (mut world, app) = setup.connected().await;
        let ada = world.person();
        let hold = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({ let (app, ada) = (app.clone(), ada.clone()); async move { app.press(&ada).await } });
        hold.reached(1).await;
        let mut answered = 0;
        for replica in world.replicas() {
            let mut early = tokio::net::TcpStream::connect(replica.public).await.expect("it listens");
            replica.begin_to_stop();
            let url = format!("http://{}/readyz", replica.management);
            eventually("it is unready", async || {
                let answer = world.client.get(&url).send().await;
                // One that has nothing under way is gone at once.
                answer.map_or(true, |answer| answer.status() == 503).then_some(())
            })
            .await;
            let connected = async || tokio::net::TcpStream::connect(replica.public).await;
            eventually("nothing connects any more", async || connected().await.is_err().then_some(())).await;
            // One that has nothing to wait for may be gone by now.
            if early.write_all(b"GET /healthz HTTP/1.1\r\nhost: connector\r\n\r\n").await.is_ok() {
                let mut answer = String::new();
                let read = tokio::time::timeout(PATIENCE, early.read_to_string(&mut answer)).await;
                answered += usize::from(read.expect("it ends").is_ok() && answer.contains("connection: close"));
            }
        }
        assert!(answered >= 1, "what had connected is answered, and its connection closed");
        hold.release();
        let answer = pressed.await.expect("an answer").expect(201);
        assert_eq!(answer.header("connection"), Some("close"), "though it was begun before");
        world.restart().await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
    }
}

scenario! {
    /// Nothing holds the listener's threads but the send, whose caller is gone; and nothing but ALC's answer says that
    /// ALC has it.
    async fn what_alc_answers_is_kept_before_it_stops_though_the_caller_has_hung_up(setup: Setup) {
        let setup = setup.minimal_alc().alc(|alc| alc.idempotency = false).with("ALC__RESEND_UNKNOWN", "false");
        let (mut world, app) = setup.connected().await;
        let ada = world.person();
        // No connection is left over from connecting.
        world.restart().await;
        let posting = world.alc.faults().hold("create_lead", Stage::After);
        let caller = post_lead(&world, &app, &ada).await;
        posting.reached(1).await;
        caller.reset();
        for replica in world.replicas() {
            replica.begin_to_stop();
        }
        world.pass_slowly(std::time::Duration::ZERO, 10).await;
        posting.release();
        world.restart().await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        world.shows(&ada, "Pending").await;
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    }
}

scenario! {
    async fn who_is_unready_serves_on_until_nobody_routes_here_any_more(setup: Setup) {
        let (mut world, app) = setup.with("HTTP__DRAIN_DELAY", "15s").connected().await;
        for replica in world.replicas() {
            replica.begin_to_leave();
            for address in [replica.public, replica.management] {
                let readyz = send(world.client.get(format!("http://{address}/readyz"))).await;
                readyz.expect_problem(503, "stopping");
            }
        }
        let (ada, told) = (world.person(), world.client.get(format!("{}/healthz", world.url())));
        app.press(&ada).await.expect(201);
        assert_eq!(send(told).await.expect(200).header("connection"), Some("close"), "come by another one");
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        world.stop().await;
    }
}

#[test]
fn sigterm_makes_unready_then_serves_for_the_delay_then_ends() {
    run(async {
        let mut world = Setup::sqlite().start().await;
        world.stop().await;
        world.live_in_real_time();
        world.settings.set("HTTP__DRAIN_DELAY", "2s");
        let mut process = Process::new(&world.settings);
        process.start().await;
        world.lead_to(vec![process.public]);
        let (app, ada) = (world.connect().await, world.person());
        let watch = Stopwatch::start();
        process.signal_to_stop();
        eventually("it is unready", async || (!process.is_ready().await).then_some(())).await;
        app.press(&ada).await.expect(201);
        assert_eq!(process.ended().await, Some(0));
        assert!(watch.elapsed() >= std::time::Duration::from_secs(2), "it goes before the delay is over");
    });
}

/// A process between the pretend services that logs JSON, of this level and above.
async fn logging(setup: Setup, level: &str) -> (World, Process) {
    let mut world = setup.prepare().await;
    world.live_in_real_time();
    world.settings.set("TELEMETRY__FILTER", level).set("TELEMETRY__FORMAT", "json");
    let mut process = Process::new(&world.settings);
    process.start().await;
    world.lead_to(vec![process.public]);
    (world, process)
}

/// A process between the pretend services that a shell has limited so.
async fn limited(setup: Setup, limit: &'static str) -> (World, Process) {
    let mut world = setup.prepare().await;
    world.live_in_real_time();
    let mut process = Process::new(&world.settings);
    process.after(limit);
    process.start().await;
    world.lead_to(vec![process.public]);
    (world, process)
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    run(async {
        let (_world, mut process) = limited(Setup::sqlite(), "ulimit -Sn 300; ulimit -Hn 900").await;
        let limits = process.limits();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("it is listed");
        assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["900", "900"], "{files}");
        assert!(process.log().contains("the limit of open files is small"), "{}", process.log());
        assert_eq!(process.terminate().await, Some(0));
    });
}

#[test]
fn idle_connections_leave_the_service_the_files_that_it_needs() {
    run(async {
        let (world, mut process) = limited(Setup::sqlite(), "ulimit -n 256").await;
        // One after the other: of many at once a busy system leaves some without an answer for a second. Once the
        // service takes no more, no further one is answered.
        let mut idle = Vec::new();
        while idle.len() < 400 {
            let connecting = tokio::net::TcpStream::connect(process.public);
            match tokio::time::timeout(std::time::Duration::from_secs(1), connecting).await {
                Ok(Ok(connected)) => idle.push(connected),
                _ => break,
            }
        }
        assert!(idle.len() > 200, "{} are not many", idle.len());
        for _ in 0..3 {
            let url = format!("http://{}", process.management());
            // Each over a connection of its own, as a probe's.
            for path in ["readyz", "metrics"] {
                let answer = send(crate::support::http::client().get(format!("{url}/{path}")));
                // An idle connection is closed after ten seconds, which would mend it.
                let answer = tokio::time::timeout(std::time::Duration::from_secs(5), answer).await;
                answer.expect("at once").expect(200);
            }
        }
        drop(idle);
        let (app, ada) = (world.connect().await, world.person());
        app.press(&ada).await.expect(201);
        assert_eq!(process.terminate().await, Some(0));
        assert!(!process.log().contains("open files)"), "it ran out: {}", process.log());
    });
}

#[test]
fn an_idle_connection_stays_open_as_long_as_it_is_set_to() {
    run(async {
        let world = Setup::sqlite().with("HTTP__KEEP_ALIVE", "300ms").start().await;
        let mut idle = tokio::net::TcpStream::connect(world.replicas()[0].public).await.expect("it listens");
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: connector\r\n\r\n").await.expect("it goes out");
        let watch = Stopwatch::start();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, idle.read_to_end(&mut answer)).await.expect("it is closed").expect("readable");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let elapsed = watch.elapsed();
        // actix's own would be five seconds.
        assert!(elapsed < std::time::Duration::from_secs(4), "{elapsed:?}");
    });
}

#[test]
fn a_store_that_is_down_503_nothing_is_sent_and_no_restart_is_needed() {
    run(async {
        let (mut world, app) = Setup::two_replicas().connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        world.redis().kill();
        app.press(&bob).await.expect_problem(503, "store-unavailable");
        app.connection_removed().await.expect_problem(503, "store-unavailable");
        app.lead(&ada).await.expect_problem(503, "store-unavailable");
        world.tell(Callback::new(&ada.record_id, "qualified"), 503).await;
        let readyz = || send(world.client.get(format!("{}/readyz", world.url())));
        eventually("it is unready", async || (readyz().await.slug() == "store-unavailable").then_some(())).await;
        assert!(world.alc.leads_of(&bob.record_id).is_empty(), "nothing was sent");

        world.redis().start_again();
        let ready = || send(world.client.get(format!("{}/readyz", world.url())));
        eventually("both are ready again", async || {
            let all = futures_util::future::join_all((0..8).map(|_| ready())).await;
            all.iter().all(|answer| answer.status == 200).then_some(())
        })
        .await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        app.press(&bob).await.expect(201);
    });
}

#[test]
fn what_the_log_says_of_a_failing_store_carries_the_id_of_the_answer() {
    run(async {
        // The id must not depend on how much is logged.
        let (mut world, process) = logging(Setup::redis(), "warn").await;
        let (app, ada) = (world.connect().await, world.person());
        world.redis().kill();
        let refused = app.press(&ada).await.expect_problem(503, "store-unavailable");
        let id = refused.header("x-request-id").expect("an id").to_owned();
        let told = async || process.log().lines().find(|line| line.contains("refused: the store")).map(str::to_owned);
        let line = eventually("the failure is told of", told).await;
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!(line["span"]["request_id"], id.as_str(), "{line}");
    });
}

#[test]
fn a_store_that_is_full_503_and_nothing_is_sent() {
    run(async {
        let (mut world, app) = Setup::redis().connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        // Everything can be read, nothing can be begun.
        assert!(world.redis().command("CONFIG SET maxmemory 1").starts_with("+OK"));
        app.press(&bob).await.expect_problem(503, "store-unavailable");
        app.press_with_key(&bob, "k").await.expect_problem(503, "store-unavailable");
        // Callbacks must still be routed here.
        let readyz = || send(world.client.get(format!("{}/readyz", world.url())));
        let degraded = async || Some(readyz().await.expect(200).json()).filter(|body| body["status"] == "degraded");
        let degraded = eventually("it says what is wrong", degraded).await;
        assert_eq!(degraded["degraded"], serde_json::json!(["store-full"]));
        let metrics = send(world.client.get(format!("http://{}/metrics", world.replicas()[0].management))).await;
        let told = r#"alc_connector_store_degraded{what="store-full"} 1"#;
        assert!(metrics.body.contains(told), "{}", metrics.body);
        app.lead(&bob).await.expect(404);
        assert!(world.alc.leads_of(&bob.record_id).is_empty(), "nothing was sent");
        // What is there goes on.
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;

        assert!(world.redis().command("CONFIG SET maxmemory 0").starts_with("+OK"));
        app.press_with_key(&world.person(), "k").await.expect(201);
        app.press(&bob).await.expect(201);
        assert_eq!(world.alc.leads_of(&bob.record_id).len(), 1);
    });
}

#[test]
fn a_redis_that_comes_later_is_waited_for_alive_and_unready() {
    run(async {
        let mut world = Setup::redis().start().await;
        world.stop().await;
        world.live_in_real_time();
        world.redis().kill();
        let mut process = Process::new(&world.settings);
        process.spawn();
        let client = crate::support::http::client();
        for at in [process.public, process.management()] {
            let alive = async || client.get(format!("http://{at}/healthz")).send().await.ok();
            assert_eq!(eventually("it listens", alive).await.status(), 200);
            send(client.get(format!("http://{at}/readyz"))).await.expect_problem(503, "store-unavailable");
        }
        let token = "http://attio@x.example";
        let press = client.get(format!("http://{}/v1/connection", process.public)).bearer_auth(token);
        assert!(send(press).await.expect(503).header("retry-after").is_some());
        world.redis().start_again();
        eventually("it is ready", async || process.is_ready().await.then_some(())).await;
        world.lead_to(vec![process.public]);
        let (app, ada) = (world.connect().await, world.person());
        app.press(&ada).await.expect(201);
        assert_eq!(process.terminate().await, Some(0));

        // One that is told to go while it waits goes; one that waits in vain says so.
        world.redis().kill();
        process.spawn();
        let alive = async || client.get(format!("http://{}/healthz", process.public)).send().await.ok();
        eventually("it listens", alive).await;
        assert_eq!(process.terminate().await, Some(0));
        world.settings.set("STORE__CONNECT_PATIENCE", "1s");
        let mut process = Process::new(&world.settings);
        process.spawn();
        assert_eq!(process.ended().await, Some(1));
        let said = process.complaint();
        assert!(said.contains("check STORE__URL") && said.contains("STORE__CONNECT_PATIENCE"), "{said}");
    });
}

#[test]
fn a_second_process_on_one_sqlite_file_waits_for_the_first_to_go() {
    run(async {
        let mut world = Setup::sqlite().start().await;
        world.stop().await;
        world.live_in_real_time();
        let (mut first, mut second) = (Process::new(&world.settings), Process::new(&world.settings));
        first.start().await;
        second.spawn();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert!(first.is_ready().await && !second.is_ready().await, "one at a time");
        assert_eq!(first.terminate().await, Some(0));
        eventually("the second takes over", async || second.is_ready().await.then_some(())).await;
        assert_eq!(second.terminate().await, Some(0));
    });
}

#[test]
fn the_log_has_a_line_for_each_request_and_no_secrets() {
    run(async {
        let (world, mut process) = logging(Setup::sqlite(), "debug").await;
        let (app, ada) = (world.connect().await, world.person());
        let id = app.press(&ada).await.expect(201).header("x-request-id").expect("an id").to_owned();
        app.leads("limit=7&status=pending").await.expect(200);
        world.call_back(&ada, "qualified").await;
        world.tell(Callback::new(&ada.record_id, "qualified").wrongly_signed(), 401).await;
        world.shows(&ada, "Complete").await;
        let webhook = world.alc.webhooks()[0].clone();
        app.connection_removed().await.expect(202);
        assert_eq!(process.terminate().await, Some(0));

        let log = process.log();
        let told = log.lines().filter(|line| line.contains(&id)).count();
        assert!(told >= 1, "the press is told of under its id:\n{log}");
        for line in log.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "a line of JSON: {line}");
        }
        let path = url::Url::parse(&webhook.url).expect("a URL").path().to_owned();
        let secret = webhook.secret.expect("a secret");
        let state = world.alc.state().to_string();
        let tokens =
            state.split('"').filter(|text| text.starts_with("alc_access_") || text.starts_with("alc_refresh_"));
        let (access, key) = (app.access_token(), world.attio.api_key());
        let fixed = [&ada.name, &ada.phone, &path, &secret, &access, &app.refresh_token, &key].map(String::as_str);
        for secret in fixed.into_iter().chain(tokens).chain(["limit=7", "code_", "whsec_"]) {
            let leak = log.lines().find(|line| line.contains(secret));
            assert_eq!(leak, None, "{secret} is nobody's business");
        }
    });
}

#[test]
fn a_lead_that_alc_does_not_take_is_warned_of_once_and_each_line_tells_which_and_which_attempt() {
    run(async {
        let (world, mut process) = logging(Setup::sqlite().impatient(), "debug").await;
        let (app, ada) = (world.connect().await, world.person());
        world.alc.faults().times("create_lead", 2, Fault::status_with(503, ("retry-after", "1"), json!({})));
        app.press(&ada).await.expect(202);
        let failed = |process: &Process| {
            let log = process.log();
            let attempts =
                parsed(&log).filter(|line| line["message"] == "a step was taken" && line["outcome"] == "failed");
            attempts.filter_map(|line| line["span"]["attempt"].as_u64()).collect::<Vec<_>>()
        };
        eventually("it goes out", async || (app.lead_says(&ada, "status").await == "pending").then_some(())).await;
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(process.terminate().await, Some(0));

        let (log, attempts) = (process.log(), failed(&process));
        assert_eq!(attempts, [2], "{log}");
        let about = |message: &str| parsed(&log).filter(|line| line["message"] == message).collect::<Vec<_>>();
        let warned = about("a step failed, and is tried again");
        assert_eq!(warned.len(), 1, "{log}");
        let mended = about("a step that had failed has succeeded");
        assert_eq!(mended.len(), 1, "{log}");
        for line in warned.iter().chain(&mended) {
            let span = &line["span"];
            assert_eq!(span["record"], ada.record_id.as_str(), "{line}");
            assert_eq!(span["step"], "submit", "{line}");
            for id in ["workspace", "connection", "send"] {
                assert!(span[id].is_string(), "{id} of {line}");
            }
        }
        for route in ["/v1/leads", "/webhooks/alc/{token}"] {
            let answered = about("answered").into_iter().find(|line| line["route"] == route);
            let answered = answered.unwrap_or_else(|| panic!("no line of {route} in {log}"));
            assert_eq!(answered["span"]["record"], ada.record_id.as_str(), "{answered}");
            assert!(answered["span"]["workspace"].is_string(), "{answered}");
        }
    });
}

fn parsed(log: &str) -> impl Iterator<Item = serde_json::Value> {
    log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"))
}

#[test]
fn each_line_of_a_step_says_whose_it_is_and_which() {
    run(async {
        let (world, mut process) = logging(Setup::sqlite(), "debug").await;
        let (app, ada) = (world.connect().await, world.person());
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        app.connection_removed().await.expect(202);
        eventually("the webhook is gone", async || world.alc.webhooks().is_empty().then_some(())).await;
        assert_eq!(process.terminate().await, Some(0));

        let log = process.log();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"));
        let calls: Vec<_> = lines.filter(|line| line["message"] == "upstream called").collect();
        for (operation, kind, step) in [
            ("submit_lead", "lead", "submit"),
            ("update_person", "lead", "show"),
            ("delete_webhook", "workspace", "delete-webhook"),
        ] {
            let of_it: Vec<_> = calls.iter().filter(|line| line["operation"] == operation).collect();
            assert!(!of_it.is_empty(), "{operation} in {log}");
            for line in of_it {
                let span = &line["span"];
                assert_eq!((&span["kind"], &span["step"]), (&kind.into(), &step.into()), "{line}");
                for id in ["workspace", "connection"] {
                    assert!(span[id].is_string() || (id, kind) == ("connection", "workspace"), "{id} of {line}");
                }
                for id in ["record", "send"] {
                    assert_eq!(span[id].is_string(), kind == "lead", "{id} of {line}");
                }
                assert_eq!(span["attempt"].as_u64(), (kind == "lead").then_some(1), "{line}");
            }
        }
    });
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    run(async {
        let (world, mut process) = limited(Setup::redis(), "trap '' XFSZ").await;
        // Both of its outputs are files here, and the disk that they are on is full from now on.
        process.limit_its_files(Some(1));
        let app = world.connect().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        let metrics = send(world.client.get(format!("http://{}/metrics", process.management()))).await.expect(200).body;
        let lost = metrics.lines().find_map(|line| line.strip_prefix("alc_connector_log_lines_lost_total "));
        assert!(lost.is_some_and(|lost| lost != "0"), "{metrics}");
        process.limit_its_files(None);
        let bob = world.person();
        app.press(&bob).await.expect(201);
        assert_eq!(process.terminate().await, Some(0));
        let log = process.log();
        assert!(log.contains(&bob.record_id), "what comes later is told: {log}");
    });
}
