#include "node/net/asking.hpp"

#include "shared/base/log.hpp"

namespace lamina::node {

void Asking::ask(const LayerId& layer) {
  if (asked_.contains(layer)) return;
  asked_[layer].until = loop_.now() + limits_.patience;
  next(layer);
}

void Asking::next(const LayerId& layer) {
  const auto asked = asked_.find(layer);
  if (asked == asked_.end() || asked->second.is_fetching) return;
  auto makers = calls_.makers(layer);
  std::erase_if(makers, [&](const wire::Peer& peer) {
    return asked->second.hopeless.contains(peer.device) || !peer.relay_port;
  });
  if (makers.empty())
    return end(layer, fail(ErrorKind::not_found, "no device of the site has made it, or will"));
  if (loop_.now() >= asked->second.until)
    return end(layer, fail(ErrorKind::unavailable, "no device of the site has made it in time"));
  const wire::Peer& from = makers[asked->second.turn++ % makers.size()];
  asked->second.is_fetching = true;
  calls_.fetch(from, layer,
               [weak = weak_from_this(), layer, device = from.device](Result<Files> files) {
                 if (const auto self = weak.lock()) self->heard(layer, device, std::move(files));
               });
}

void Asking::heard(const LayerId& layer, const DeviceId& from, Result<Files> files) {
  const auto asked = asked_.find(layer);
  if (asked == asked_.end()) return;
  asked->second.is_fetching = false;
  if (files) {
    log::info("made_at_the_site", {{"layer", layer}, {"device", from}, {"packs", files->size()}});
    return end(layer, std::move(files));
  }
  note(asked->second, from, files.error().kind());
  asked->second.again = loop_.after(limits_.again, [weak = weak_from_this(), layer] {
    if (const auto self = weak.lock()) self->next(layer);
  });
}

void Asking::note(Asked& asked, const DeviceId& from, ErrorKind why) const {
  if (why == ErrorKind::refused) asked.hopeless.insert(from);
  if (why != ErrorKind::unavailable) {
    asked.unreached_since.erase(from);
    return;
  }
  const Instant since = asked.unreached_since.emplace(from, loop_.now()).first->second;
  if (loop_.now() - since >= limits_.unreached) asked.hopeless.insert(from);
}

void Asking::end(const LayerId& layer, Result<Files> files) {
  asked_.erase(layer);
  // Not from inside ask().
  loop_.post([weak = weak_from_this(), layer, files = std::move(files)]() mutable {
    if (const auto self = weak.lock()) self->calls_.ended(layer, std::move(files));
  });
}

}  // namespace lamina::node
