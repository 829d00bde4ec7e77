// Fleet: the TLS connections of many simulated devices, on one epoll and without Lamina's own
// client, so that both ends do not share their mistakes, and so that a connection costs little
// here.
//
// Everything runs on the thread inside run(). Each connection carries one request at a time and is
// kept until drop(). Times are nanoseconds of the steady clock.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/result.hpp"
#include "shared/base/units.hpp"

namespace lamina::bench {

struct Reply {
  int status = 0;  // 0: the connection failed; `body` says how.
  std::string body;
  Duration took{};       // From send() to the last byte; with the handshake when there was one.
  Duration handshake{};  // TCP and TLS; 0: the connection was open already.
  bool resumed = false;  // That handshake continued an earlier session.
};

class Fleet {
 public:
  using Then = std::function<void(const Reply&)>;
  enum class Resume { no, yes };

  // Calls go to 127.0.0.1:`port`, whose certificate must come from `ca_pem`. `invalid` for bad PEM.
  static Result<std::unique_ptr<Fleet>> make(const std::string& ca_pem, std::uint16_t port);
  ~Fleet();

  // A device that calls from `source` (an IPv4 address of the loopback, in host byte order) with
  // this identity; both empty: none. Returns its number; opens nothing yet.
  Result<std::size_t> add(std::uint32_t source, const std::string& certificate_pem,
                          const std::string& key_pem);

  // `then` is called once, from run(). Connects first where need be. `request` is a whole HTTP
  // message. No other request of this device may be under way.
  void send(std::size_t device, std::string request, Then then, Resume resume = Resume::no);
  // Closes the device's connection, if any; a request under way is forgotten without a call.
  void drop(std::size_t device);

  void at(Instant when, std::function<void()> call);
  Instant now() const;
  // Carries out what is due until `done` says so, asked after every event.
  void run(const std::function<bool()>& done);

  std::size_t open() const;                // Connections whose handshake is done.
  std::uint64_t sessions_offered() const;  // Resumable sessions that the server handed out.

 private:
  struct Impl;
  explicit Fleet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A whole HTTP message to the origin; a body is JSON.
std::string http_request(const std::string& method, const std::string& path,
                         const std::string& body = "");

}  // namespace lamina::bench
