//! Everything but the query side is stopped: where orders stand can still be read and listed.

use anyhow::{Result, ensure};
use harness::eventually;
use serde_json::Value;

use super::report::Tale;
use super::stage::{Means, PATIENCE, Stage};

pub(super) const ABOUT: &str = "Every service but the query side is stopped, and reads go on.";

const READS: &str = "order-query";

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("reads-survive", Means { on_hand: 9, funds: "99.00" }).await?;
    let mut orders = vec![];
    for quantity in [1, 2, 9] {
        let order = stage.check_out(&shop, quantity).await?;
        orders.push((order, stage.until_ended(order).await?.status));
    }
    stage.until_quiet().await?;
    let base = stage.endpoints().await.services[READS].clone();
    for (order, status) in &orders {
        let path = format!("{base}/v1/orders/{order}");
        eventually(PATIENCE, "the copy knows it", async || {
            let read = get(&path).await.map_err(|error| error.to_string())?;
            if read["status"] == status.as_str() { Ok(()) } else { Err(read.to_string()) }
        })
        .await?;
    }
    let away: Vec<&'static str> =
        stage.all_mounted().into_iter().filter(|name| *name != READS).collect();
    for service in &away {
        stage.unmount(service).await?;
    }
    let read = read_all(&base, &orders, &shop.store.to_string()).await;
    // The stories that follow need them again, whatever was read.
    for service in &away {
        stage.mount(service).await?;
    }
    let (statuses, listed) = read?;
    tale.count("services stopped", away.len());
    let wanted: Vec<&str> = orders.iter().map(|(_, status)| status.as_str()).collect();
    tale.expect("orders read while everything else was stopped", wanted, statuses);
    tale.expect("orders listed for the store", orders.len(), listed);
    Ok(())
}

async fn read_all(
    base: &str,
    orders: &[(schemas::OrderId, String)],
    store: &str,
) -> Result<(Vec<String>, usize)> {
    let mut statuses = vec![];
    for (order, _) in orders {
        let read = get(&format!("{base}/v1/orders/{order}")).await?;
        statuses.push(read["status"].as_str().unwrap_or_default().to_owned());
    }
    let listed = get(&format!("{base}/v1/orders?store={store}")).await?;
    Ok((statuses, listed["items"].as_array().map_or(0, Vec::len)))
}

async fn get(url: &str) -> Result<Value> {
    let answer = reqwest::get(url).await?;
    ensure!(answer.status().is_success(), "{url}: {}", answer.status());
    Ok(answer.json().await?)
}
