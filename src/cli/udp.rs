//! Options of UDP sockets.

use super::values::{self, duration};
use crate::{error::Error, net::UdpOptions};
use clap::Args;
use smart_default::SmartDefault;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// UDP.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "UDP")]
pub struct UdpArgs {
    /// Allow datagrams to broadcast addresses
    #[arg(long)]
    pub udp_broadcast: bool,
    /// Join this multicast group; may be repeated
    #[arg(long = "udp-multicast", value_name = "ADDR", value_parser = values::multicast_group)]
    pub udp_groups: Vec<IpAddr>,
    /// Address of the interface for multicast over IPv4; if repeated, one for each IPv4 group
    #[arg(long = "udp-multicast-iface-v4", value_name = "ADDR")]
    pub udp_interfaces_v4: Vec<Ipv4Addr>,
    /// Index of the interface for multicast over IPv6; if repeated, one for each IPv6 group
    #[arg(long = "udp-multicast-iface-v6", value_name = "INDEX")]
    pub udp_interfaces_v6: Vec<u32>,
    /// Receive also what this machine sends to a group, which is the default of most systems
    #[arg(long)]
    pub udp_multicast_loop: bool,
    /// Send only one datagram to each client of udp-listen:, then wait for the next client
    #[arg(long)]
    pub udp_oneshot: bool,
    /// Allow other sockets to be bound to the same address
    #[arg(long)]
    pub udp_reuseaddr: bool,
    /// Time to live (IPv6: hop limit) of datagrams
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub udp_ttl: Option<u8>,
    /// Maximum number of clients of udp-server: at a time; datagrams of others are dropped
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), default_value = "1000")]
    #[default(1000)]
    pub udp_server_max_clients: u32,
    /// End the session of a client of udp-server: when no datagram has been sent or received for SECONDS
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "60")]
    #[default(Duration::from_secs(60))]
    pub udp_server_timeout: Duration,
}

impl TryFrom<UdpArgs> for UdpOptions {
    type Error = Error;

    fn try_from(args: UdpArgs) -> Result<Self, Error> {
        let (mut v4, mut v6): (Vec<Ipv4Addr>, Vec<Ipv6Addr>) = Default::default();
        for group in args.udp_groups {
            match group {
                IpAddr::V4(group) => v4.push(group),
                IpAddr::V6(group) => v6.push(group),
            }
        }
        Ok(Self {
            broadcast: args.udp_broadcast,
            interface_v4: args.udp_interfaces_v4.first().copied(),
            interface_v6: args.udp_interfaces_v6.first().copied(),
            groups_v4: with_interfaces(v4, args.udp_interfaces_v4, Ipv4Addr::UNSPECIFIED, "v4")?,
            groups_v6: with_interfaces(v6, args.udp_interfaces_v6, 0, "v6")?,
            multicast_loop: args.udp_multicast_loop,
            oneshot: args.udp_oneshot,
            reuse_address: args.udp_reuseaddr,
            ttl: args.udp_ttl,
            max_clients: args.udp_server_max_clients as usize,
            timeout: args.udp_server_timeout,
        })
    }
}

/// Pairs groups with interfaces: one for all, or one for each in their order.
fn with_interfaces<G, I: Copy>(groups: Vec<G>, interfaces: Vec<I>, any: I, family: &str) -> Result<Vec<(G, I)>, Error> {
    match &interfaces[..] {
        [] => Ok(groups.into_iter().map(|group| (group, any)).collect()),
        [interface] => Ok(groups.into_iter().map(|group| (group, *interface)).collect()),
        _ if interfaces.len() == groups.len() => Ok(groups.into_iter().zip(interfaces).collect()),
        _ => Err(Error::usage_hint(
            format!(
                "there are {} --udp-multicast-iface-{family} for {} groups of that family",
                interfaces.len(),
                groups.len()
            ),
            "give it once for all groups, or once for each in their order",
        )),
    }
}
