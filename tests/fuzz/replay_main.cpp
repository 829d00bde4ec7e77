// Runs a fuzz target on its corpus and on fixed mutations of it, where libFuzzer is not linked in.
// Usage: <target> CORPUS_DIRECTORY. A crash names the seed and the mutation on stderr first.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kMutations = 2000;  // Of each seed; a second or less for a target.

// Xorshift64 (Marsaglia 2003): the same mutations on every run and machine.
class Dice {
 public:
  std::uint64_t below(std::uint64_t limit) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return limit == 0 ? 0 : state_ % limit;
  }

 private:
  std::uint64_t state_ = 0x9e3779b97f4a7c15;
};

using Input = std::vector<std::uint8_t>;

void mutate_once(Input& input, Dice& dice) {
  if (input.empty()) {
    input.push_back(static_cast<std::uint8_t>(dice.below(256)));
    return;
  }
  const auto place = dice.below(input.size());
  const auto at = input.begin() + static_cast<std::ptrdiff_t>(place);
  switch (dice.below(5)) {
    case 0: *at ^= static_cast<std::uint8_t>(1u << dice.below(8)); break;
    case 1: *at = dice.below(2) == 0 ? 0xff : 0x80; break;
    case 2: input.insert(at, static_cast<std::uint8_t>(dice.below(256))); break;
    case 3: input.erase(at); break;
    default: input.resize(place); break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " CORPUS_DIRECTORY\n";
    return 2;
  }
  std::vector<std::filesystem::path> seeds;
  for (const auto& file : std::filesystem::directory_iterator(argv[1])) seeds.push_back(file);
  std::sort(seeds.begin(), seeds.end());
  if (seeds.empty()) {
    std::cerr << argv[1] << " has no seeds\n";
    return 1;
  }
  for (const auto& seed : seeds) {
    std::ifstream file(seed, std::ios::binary);
    const Input input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    std::cerr << seed.filename().string() << ": " << input.size() << " bytes\n";
    LLVMFuzzerTestOneInput(input.data(), input.size());
    Dice dice;
    for (int i = 0; i < kMutations; ++i) {
      Input changed = input;
      for (auto left = 1 + dice.below(3); left > 0; --left) mutate_once(changed, dice);
      LLVMFuzzerTestOneInput(changed.data(), changed.size());
    }
  }
  return 0;
}
