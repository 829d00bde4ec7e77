// ns-3's TCP on a small tree: when the last transfer over each site's line is over.
//
//   usage: ns3_tree < TREE, which is lines of words:
//     origin MBIT                    its line, which all sites share
//     rtt MILLISECONDS               of an idle line, both ways together
//     tcp cubic|reno
//     queue short|deep               one product of bandwidth and delay, or so much that no packet
//     is lost site MBIT BYTES START...       a line with a transfer of BYTES from each of these
//     seconds on
//   prints the seconds of each site's last end, a line each. Exit code 1: a transfer did not end in
//   an hour; 2: the tree cannot be read.
//
// No packet is lost but by full queues. A program of its own in C++17, because ns-3's headers as
// Debian has them are no C++20.
#include <ns3/bulk-send-helper.h>
#include <ns3/config.h>
#include <ns3/data-rate.h>
#include <ns3/internet-stack-helper.h>
#include <ns3/ipv4-address-helper.h>
#include <ns3/ipv4-global-routing-helper.h>
#include <ns3/packet-sink-helper.h>
#include <ns3/point-to-point-helper.h>
#include <ns3/simulator.h>
#include <ns3/string.h>
#include <ns3/tcp-cubic.h>
#include <ns3/tcp-linux-reno.h>
#include <ns3/traffic-control-helper.h>
#include <ns3/uinteger.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr std::uint32_t kSegmentBytes = 1448;
constexpr double kPacketBytes = 1502;  // And timestamps, TCP, IP, and two bytes of the line's own.
constexpr double kBitsPerByte = 8;
constexpr std::uint32_t kWindowBytes = 4 << 20;
constexpr double kShortLeast = 20;  // Packets; less loses whole windows.
constexpr double kDeep = 1e6;       // More than all windows together.
constexpr double kHour = 3600;

struct Site {
  double mbit = 0;
  std::uint64_t bytes = 0;
  std::vector<double> starts;
};
struct Tree {
  double origin_mbit = 0;
  double rtt_ms = 0;
  std::string tcp;
  std::string queue;
  std::vector<Site> sites;
};

bool read(std::istream& in, Tree& tree) {
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    if (what == "origin") {
      words >> tree.origin_mbit;
    } else if (what == "rtt") {
      words >> tree.rtt_ms;
    } else if (what == "tcp") {
      words >> tree.tcp;
    } else if (what == "queue") {
      words >> tree.queue;
    } else if (what == "site") {
      Site site;
      words >> site.mbit >> site.bytes;
      for (double start = 0; words >> start;) site.starts.push_back(start);
      if (!(site.mbit > 0) || site.bytes == 0 || site.starts.empty()) return false;
      tree.sites.push_back(site);
    } else {
      return false;
    }
  }
  return tree.origin_mbit > 0 && tree.rtt_ms > 0 && !tree.sites.empty() &&
         (tree.tcp == "cubic" || tree.tcp == "reno") &&
         (tree.queue == "short" || tree.queue == "deep");
}

ns3::NetDeviceContainer join(const ns3::Ptr<ns3::Node>& a, const ns3::Ptr<ns3::Node>& b,
                             double mbit, double delay_ms, const Tree& tree) {
  ns3::PointToPointHelper line;
  line.SetDeviceAttribute(
      "DataRate", ns3::DataRateValue(ns3::DataRate(static_cast<std::uint64_t>(mbit * 1e6))));
  line.SetChannelAttribute(
      "Delay", ns3::TimeValue(ns3::MicroSeconds(static_cast<std::uint64_t>(delay_ms * 1000))));
  const double product = mbit * 1e6 / kBitsPerByte * tree.rtt_ms / 1000 / kPacketBytes;
  const double packets = tree.queue == "deep" ? kDeep : std::max(kShortLeast, std::ceil(product));
  line.SetQueue("ns3::DropTailQueue", "MaxSize",
                ns3::StringValue(std::to_string(static_cast<std::uint64_t>(packets)) + "p"));
  return line.Install(a, b);
}

// Of each site the end of its last transfer; 0: one did not end.
std::vector<double> last_ends(const Tree& tree) {
  using namespace ns3;
  Config::SetDefault(
      "ns3::TcpL4Protocol::SocketType",
      TypeIdValue(tree.tcp == "cubic" ? TcpCubic::GetTypeId() : TcpLinuxReno::GetTypeId()));
  Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(kSegmentBytes));
  Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(kWindowBytes));
  Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(kWindowBytes));
  Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(10));

  const auto sites = static_cast<std::uint32_t>(tree.sites.size());
  NodeContainer nodes;
  nodes.Create(2 + sites);
  const Ptr<Node> origin = nodes.Get(0);
  const Ptr<Node> middle = nodes.Get(1);
  constexpr double kNearMs = 0.1;
  std::vector<NetDeviceContainer> lines{join(origin, middle, tree.origin_mbit, kNearMs, tree)};
  for (std::uint32_t i = 0; i < sites; ++i)
    lines.push_back(
        join(middle, nodes.Get(2 + i), tree.sites[i].mbit, tree.rtt_ms / 2 - kNearMs, tree));
  InternetStackHelper().Install(nodes);
  std::vector<Ipv4Address> far_ends;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Ipv4AddressHelper addresses;
    addresses.SetBase(("10.0." + std::to_string(i) + ".0").c_str(), "255.255.255.0");
    far_ends.push_back(addresses.Assign(lines[i]).GetAddress(1));
    TrafficControlHelper().Uninstall(lines[i]);  // The line's queue is the only one.
  }
  Ipv4GlobalRoutingHelper::PopulateRoutingTables();

  std::vector<double> ends(sites, 0);
  std::size_t running = 0;
  for (std::uint32_t i = 0; i < sites; ++i) {
    const Site& site = tree.sites[i];
    for (std::size_t flow = 0; flow < site.starts.size(); ++flow) {
      const auto port = static_cast<std::uint16_t>(5000 + flow);
      PacketSinkHelper sink("ns3::TcpSocketFactory",
                            InetSocketAddress(Ipv4Address::GetAny(), port));
      const Ptr<Application> receiver = sink.Install(nodes.Get(2 + i)).Get(0);
      ++running;
      // The closure has what arrived of this transfer.
      const std::function<void(Ptr<const Packet>, const Address&)> received =
          [&ends, &running, &site, i, left = site.bytes](Ptr<const Packet> packet,
                                                         const Address&) mutable {
            left -= std::min<std::uint64_t>(left, packet->GetSize());
            if (left > 0) return;
            ends[i] = Simulator::Now().GetSeconds();
            if (--running == 0) Simulator::Stop();
          };
      receiver->TraceConnectWithoutContext(
          "Rx", Callback<void, Ptr<const Packet>, const Address&>(received));
      BulkSendHelper sender("ns3::TcpSocketFactory", InetSocketAddress(far_ends[1 + i], port));
      sender.SetAttribute("MaxBytes", UintegerValue(site.bytes));
      sender.SetAttribute("SendSize", UintegerValue(kSegmentBytes));
      sender.Install(origin).Start(Seconds(site.starts[flow]));
    }
  }
  Simulator::Stop(Seconds(kHour));
  Simulator::Run();
  Simulator::Destroy();
  if (running > 0) return {};
  return ends;
}

}  // namespace

int main() {
  Tree tree;
  if (!read(std::cin, tree)) {
    std::cerr << "ns3_tree: no tree can be read from standard input\n";
    return 2;
  }
  const std::vector<double> ends = last_ends(tree);
  for (const double end : ends) std::cout << end << '\n';
  return ends.empty() ? 1 : 0;
}
