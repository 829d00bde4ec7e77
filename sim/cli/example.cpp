#include "sim/cli/example.hpp"

namespace lamina::sim {

const std::string_view kExampleScenario =
    R"(# A rollout to the branches of a chain. Change what is yours, then:
#   lamina-sim check scenario.toml
#
# Values carry their units: rates "20Mbit", "1.5Gbit", "250KB/s"; sizes "400MB", "1.2GB", "64MiB";
# times "30s", "90m", "8h", "7d"; shares 0.05 or "5%". A line with a # in front is left out; what it
# says is what counts then, unless the text says otherwise.

name = "Update of all branches"
sites = "sites.csv"             # One line a site: names, devices, lines.
rules = "bandwidth.csv"         # Bandwidth rules, as `lamina rule` exports them. May be left out.
# devices = "devices.csv"       # site,devices,version,presence,access: exact counts, if known.
# calibration = "..."           # What `lamina-sim calibrate` found out about the programs.

[run]
start = 2026-03-02T20:00:00+01:00   # A Monday evening. Times of the day below are of this zone.
duration = "60h"                # How long to look at. At most 31d.
# seed = 1                      # Everything random follows from it.
replicas = 5                    # Runs with seeds 1, 2, 3...: the report gives ranges over them.

[origin]
uplink = "1Gbit"                # To all sites together.
# downlink = "1Gbit"            # Uploads of all sites; without it, as the uplink.

# What a site's line in sites.csv leaves empty.
[defaults]
rtt = "40ms"                    # To the origin and back.
loss = "0.01%"                  # Of packets.
load = "office"                 # What others send over the line, as below.
lan = "1Gbit"                   # A wired device's port.
wireless_share = "20%"          # Of the devices.
wireless = "200Mbit"            # What all wireless devices of a site share.
reflectors = 1                  # Devices that fetch for the site at a time; 0: each for itself.
# mix = "shop"                  # Kinds of devices, as below.
# region = "islands"            # As below.
# utc = "+01:00"                # Without it, that of run.start.

# Lines that sites share. A site says its region in sites.csv.
[[region]]
name = "islands"
down = "200Mbit"
up = "100Mbit"
# parent = "..."                # The region that this one is part of.
# seeder = "1Gbit"              # A seeder of the region: its sites need not fetch from the origin.

# How much of a line others use, by local hour. What comes later counts where both say something.
[[load]]
name = "office"
down = [
  { share = "5%" },
  { days = "mon-fri", start = "08:00", end = "18:00", share = "50%" },
]
# up = [...]                    # Without it, as down.

# When devices are up. Shares add up to 100%.
[[presence]]
name = "always"                 # No times: all the time. Tills, and what is woken for the night.
share = "98%"
reboot_every = "7d"
reboot_takes = "3m"

[[presence]]
name = "laptops"
share = "2%"
windows = [
  { days = "mon-fri", start = "08:00", end = "12:00" },
  { days = "mon-fri", start = "13:00", end = "17:30" },
]                               # One window needs no list: days, start, end.
spread = "30m"                  # People are not machines: up to so much earlier or later.
absent = "10%"                  # Of the days.
roaming = "10%"                 # Of the days, a guest of another site.

# What the rollout brings. `lamina layer show` and `lamina rollout show` say how much it is.
[[content.part]]
name = "new system"             # Every device needs it; it crosses a site's line once.
size = "2.4GB"

[[content.version]]             # What is installed before, and what has to be fetched from there.
name = "12.9"
share = "70%"
parts = ["new system"]
fetch = "600MB"                 # The delta from this version.

[[content.version]]
name = "12.6"
share = "30%"
parts = ["new system"]
fetch = "1.1GB"

# Mixes of devices for sites that are not like all others; sites.csv names them in a column "mix".
# The first one is that of all sites that name none.
# [[mix]]
# name = "shop"
# versions = { "12.9" = "90%", "12.6" = "10%" }
# presences = { always = "100%" }

[rollout]
mode = "swarm"                  # "reflector": its devices do not serve each other; "direct": each
                                # device fetches for itself.
sites_at_once = 10              # That fetch over their lines at the same time; "all": no bound.
apply_takes = "5m"              # From the last byte to "done".
# start_takes = "0s"            # From a wave's begin until its devices fetch.
# rules_take = "0s"             # From a rule's minute until the line shows it.
# takeover = "17s"              # After a reflector went, until another device goes on.
failures = "0.5%"               # Devices on which it fails.

# Waves begin one after the other, when the gates of the one before are open.
[[rollout.wave]]
name = "pilot"
sites = ["berlin-1", "hamburg-*"]   # "*" stands for any letters.
percent = 10                    # Of their devices.
success = 90                    # Percent of its devices that are done before the next wave begins.
failure = 10                    # More percent that fail stop the rollout.
soak = "30m"                    # So long must enough of them have been done.

[[rollout.wave]]
name = "large sites"
sites = ["berlin-*", "munich"]
# percent = 100                 # A wave without it takes whole sites.
start = "24h"                   # After the start of the run: not before that, whatever the gates
                                # say. "22:00" would be the first evening's.
[[rollout.wave]]
name = "everyone"               # Without "sites" or "regions": all sites.
# regions = ["islands"]
start = "48h"
# warm = 0                      # Percent of its sites that hold everything before it begins.

[tcp]
congestion = "cubic"            # Of the origin's servers: "cubic", "reno" or "bbr".
# goodput = 0.956               # Payload for each byte on the wire.
# window = "4MiB"
# connections = 1               # For each fetch.
# unevenness = 0                # How unlike shares are where each device fetches for itself; 0.4:
                                # as if they had from 60 to 140 percent to fetch.

# How well devices of a site serve each other, measured; without it, perfectly.
# [swarm]
# piece = "256KiB"
# efficiency = [{ peers = 10, pieces = 1000, eta = 0.9 }]

# What devices upload: the changes of their desktops.
[uploads]
per_day = "50MB"                # Of each device.
times = 8                       # A day.
start = "08:00"                 # Local time.
end = "18:00"
# relayed = true                # Through the site's reflector.

# Devices that fetch for their sites and die: what would that do?
# [[reflector_deaths]]
# share = "5%"                  # Of the sites.
# at = "23:00"
# takeover = "17s"              # Instead of the rollout's.

# Lines are not exactly what the contract says: each replica but the first draws every site's rate
# from so much less to so much more.
[uncertainty]
wan = "20%"
)";

const std::string_view kExampleSites =
    R"(site,devices,wan_down,wan_up,region,utc,rtt,wireless_share
berlin-1,120,100Mbit,40Mbit,,,,
berlin-2,80,50Mbit,10Mbit,,,,
hamburg-1,60,50Mbit,10Mbit,,,,
hamburg-2,25,16Mbit,2.4Mbit,,,,
leipzig,40,25Mbit,5Mbit,,,,
munich,90,50Mbit,10Mbit,,,,
rostock,12,10Mbit,2Mbit,,,,
lisbon,30,20Mbit,5Mbit,,+00:00,70ms,
palma,18,10Mbit,2Mbit,islands,,90ms,50%
tenerife,22,10Mbit,2Mbit,islands,+00:00,110ms,50%
)";

const std::string_view kExampleBandwidth =
    R"(subnet,site,download KB/s,upload KB/s,start,end,days
,,500,125,08:00,18:00,mon-fri
,rostock,250,60,08:00,20:00,mon-sat
)";

}  // namespace lamina::sim
