#include "node/net/pack_offers.hpp"

#include <algorithm>

#include "shared/base/log.hpp"
#include "shared/store/pack_look.hpp"

namespace lamina::node {

std::shared_ptr<PackOffers> PackOffers::open(net::Loop& loop, const StateDirectory& state,
                                             Calls calls) {
  return std::shared_ptr<PackOffers>(new PackOffers(loop, state, std::move(calls)));
}

void PackOffers::asked(const std::vector<wire::WantedPack>& packs) {
  const bool is_idle = waiting_.empty();
  for (const wire::WantedPack& pack : packs)
    if (std::ranges::find(waiting_, pack) == waiting_.end()) waiting_.push_back(pack);
  if (is_idle) next();
}

void PackOffers::next() {
  if (waiting_.empty()) return;
  loop_.offload_value(
      [cache = state_.cache(), id = waiting_.front().pack]() -> Result<PackLook> {
        auto files = PackFiles::open(cache, PackFiles::Access::read);
        if (!files) return fail(std::move(files.error()));
        return look_at_pack(*files, id);
      },
      [weak = weak_from_this(), pack = waiting_.front()](const Result<PackLook>& look) {
        const auto self = weak.lock();
        if (!self) return;
        if (!look) return self->ended(pack, fail(look.error()));
        if (look->state != PackLook::State::sound) {
          self->calls_.damaged(pack.layer);
          return self->ended(
              pack, fail(ErrorKind::corrupt, look->text.empty() ? "it is not here" : look->text));
        }
        self->calls_.send(pack, self->state_.packs() + '/' + pack.pack.hex(),
                          [weak, pack](const Result<Done>& sent) {
                            if (const auto alive = weak.lock())
                              alive->ended(pack,
                                           sent ? Status(Done{}) : Status(fail(sent.error())));
                          });
      });
}

void PackOffers::ended(const wire::WantedPack& pack, const Status& done) {
  if (done)
    log::info("pack_given_back", {{"layer", pack.layer}, {"pack", pack.pack.hex()}});
  else
    log::warning(
        "pack_not_given_back",
        {{"layer", pack.layer}, {"pack", pack.pack.hex()}, {"error", done.error().text()}});
  waiting_.pop_front();
  next();
}

}  // namespace lamina::node
