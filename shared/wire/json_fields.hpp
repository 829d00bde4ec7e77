// JSON in and out of plain structs; for the .cpp files of this folder only (nlohmann inside).
//
// A message names its fields once:  template <class A> void fields(A& a, Site& s)
//                                   { a("name", s.name); a("subnet", s.subnet, 64); }
// Writer walks them to build an object, Reader to fill the struct. Reader checks types and bounds
// and keeps the first error with the path of the field: "poll request: wants[3].layer is missing".
#pragma once

#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/wire/node.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::wire {

using Json = nlohmann::json;

// Bounds when a field names none: characters of a text, bytes of a buffer, elements of a list.
inline constexpr std::size_t kTextMax = 4096;
inline constexpr std::size_t kBufferMax = std::size_t{256} << 10;
inline constexpr std::size_t kListMax = 65'536;

class Writer {
 public:
  template <class T>
  void operator()(const char* name, T& value, std::size_t = 0) {
    object_[name] = write(value);
  }
  template <class T>
  void operator()(const char* name, std::optional<T>& value, std::size_t = 0) {
    if (value) object_[name] = write(*value);
  }
  // A list that may be left out, and is when it is empty.
  template <class T>
  void if_any(const char* name, std::vector<T>& value, std::size_t = 0) {
    if (!value.empty()) object_[name] = write(value);
  }
  // Text that is not UTF-8 (a hostile host name) is written with replacement characters.
  std::string text() const { return object_.dump(-1, ' ', false, Json::error_handler_t::replace); }

 private:
  template <class T>
  static Json write(T& value) {
    Writer inner;
    fields(inner, value);
    return std::move(inner.object_);
  }
  static Json write(std::string& value) { return value; }
  static Json write(bool& value) { return value; }
  static Json write(int& value) { return value; }
  static Json write(std::int64_t& value) { return value; }
  static Json write(std::uint64_t& value) { return value; }
  static Json write(std::uint16_t& value) { return value; }
  static Json write(Buffer& value) { return to_hex(value); }
  static Json write(ShareSet& value) {
    Json list = Json::array();
    for (int share = 0; share < ShareSet::kCount; ++share)
      if (value.has(share)) list.push_back(share);
    return list;
  }
  static Json write(DeviceStatus& value) { return std::string(name_of(value)); }
  template <class Tag, std::size_t N>
  static Json write(ByteId<Tag, N>& value) {
    return value.hex();
  }
  template <class T>
  static Json write(std::vector<T>& value) {
    Json list = Json::array();
    for (T& element : value) list.push_back(write(element));
    return list;
  }
  template <class T>
  static Json write(std::map<std::string, T>& value) {
    Json map = Json::object();
    for (auto& [key, element] : value) map[key] = write(element);
    return map;
  }

  Json object_ = Json::object();
};

class Reader {
 public:
  Reader(const Json& object, std::string path, std::optional<Error>& error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (!object_.is_object()) wrong(path_, "a JSON object");
  }

  template <class T>
  void operator()(const char* name, T& value, std::size_t limit = 0) {
    if (error_) return;
    const auto at = object_.find(name);
    if (at == object_.end()) {
      error_ = Error(ErrorKind::invalid, "field '" + inside(name) + "' is missing");
      return;
    }
    read(*at, value, inside(name), limit);
  }
  template <class T>
  void operator()(const char* name, std::optional<T>& value, std::size_t limit = 0) {
    if (error_) return;
    const auto at = object_.find(name);
    if (at == object_.end() || at->is_null()) return;
    read(*at, value.emplace(), inside(name), limit);
  }
  template <class T>
  void if_any(const char* name, std::vector<T>& value, std::size_t limit = 0) {
    if (error_) return;
    const auto at = object_.find(name);
    if (at != object_.end()) read(*at, value, inside(name), limit);
  }

 private:
  std::string inside(const std::string& name) const {
    return path_.empty() ? name : path_ + "." + name;
  }
  void wrong(const std::string& path, const std::string& wanted) {
    if (!error_)
      error_ = Error(ErrorKind::invalid,
                     (path.empty() ? "the message" : "field '" + printable(path, 200) + "'") +
                         " must be " + wanted);
  }

  template <class T>
  void read(const Json& from, T& value, const std::string& path, std::size_t) {
    Reader inner(from, path, error_);
    if (!error_) fields(inner, value);
  }
  void read(const Json& from, std::string& value, const std::string& path, std::size_t limit) {
    const std::size_t max = limit == 0 ? kTextMax : limit;
    if (!from.is_string() || from.get_ref<const std::string&>().size() > max)
      return wrong(path, "a text of at most " + std::to_string(max) + " bytes");
    value = from.get_ref<const std::string&>();
  }
  void read(const Json& from, bool& value, const std::string& path, std::size_t) {
    if (!from.is_boolean()) return wrong(path, "true or false");
    value = from.get<bool>();
  }
  // Every number of the protocol is a count, so none is negative.
  template <class Number>
  void read_number(const Json& from, Number& value, const std::string& path) {
    constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<Number>::max());
    if (!from.is_number_unsigned() || from.get<std::uint64_t>() > max)
      return wrong(path, "a whole number from 0 to " + std::to_string(max));
    value = static_cast<Number>(from.get<std::uint64_t>());
  }
  void read(const Json& from, int& v, const std::string& p, std::size_t) {
    read_number(from, v, p);
  }
  void read(const Json& from, std::int64_t& v, const std::string& p, std::size_t) {
    read_number(from, v, p);
  }
  void read(const Json& from, std::uint64_t& v, const std::string& p, std::size_t) {
    read_number(from, v, p);
  }
  void read(const Json& from, std::uint16_t& v, const std::string& p, std::size_t) {
    read_number(from, v, p);
  }
  void read(const Json& from, Buffer& value, const std::string& path, std::size_t limit) {
    const std::size_t max = limit == 0 ? kBufferMax : limit;
    if (from.is_string() && from.get_ref<const std::string&>().size() <= 2 * max)
      if (auto bytes = from_hex(from.get_ref<const std::string&>())) {
        value = std::move(*bytes);
        return;
      }
    wrong(path, "at most " + std::to_string(max) + " bytes in hexadecimal");
  }
  void read(const Json& from, DeviceStatus& value, const std::string& path, std::size_t) {
    for (const auto status :
         {DeviceStatus::pending, DeviceStatus::assigned, DeviceStatus::rejected})
      if (from.is_string() && from.get_ref<const std::string&>() == name_of(status)) {
        value = status;
        return;
      }
    wrong(path, "'pending', 'assigned' or 'rejected'");
  }
  void read(const Json& from, ShareSet& value, const std::string& path, std::size_t) {
    int least = 0;  // Ascending, so that one set is written in one way.
    if (from.is_array())
      for (const Json& element : from) {
        if (!element.is_number_unsigned() || element.get<std::uint64_t>() >= ShareSet::kCount ||
            element.get<int>() < least) {
          value = {};
          break;
        }
        value = value | ShareSet::one(element.get<int>());
        least = element.get<int>() + 1;
      }
    if (value.empty())
      wrong(path,
            "an ascending list, not empty, of numbers below " + std::to_string(ShareSet::kCount));
  }
  template <class Tag, std::size_t N>
  void read(const Json& from, ByteId<Tag, N>& value, const std::string& path, std::size_t) {
    if (from.is_string())
      if (auto id = ByteId<Tag, N>::parse(from.get_ref<const std::string&>())) {
        value = *id;
        return;
      }
    wrong(path, std::to_string(2 * N) + " hex digits");
  }
  template <class T>
  void read(const Json& from, std::vector<T>& value, const std::string& path, std::size_t limit) {
    const std::size_t max = limit == 0 ? kListMax : limit;
    if (!from.is_array() || from.size() > max)
      return wrong(path, "a list of at most " + std::to_string(max));
    for (const Json& element : from) {
      if (error_) return;
      const std::string place = path + "[" + std::to_string(value.size()) + "]";
      read(element, value.emplace_back(), place, 0);
    }
  }
  template <class T>
  void read(const Json& from, std::map<std::string, T>& value, const std::string& path,
            std::size_t limit) {
    const std::size_t max = limit == 0 ? kListMax : limit;
    if (!from.is_object() || from.size() > max)
      return wrong(path, "an object of at most " + std::to_string(max) + " fields");
    for (const auto& [key, element] : from.items()) {
      if (error_) return;
      if (key.size() > 256) return wrong(path, "an object with names of at most 256 bytes");
      read(element, value[key], path + "." + key, 0);
    }
  }

  const Json& object_;
  std::string path_;
  std::optional<Error>& error_;
};

template <class Message>
std::string write_message(Message message) {
  Writer writer;
  fields(writer, message);
  return writer.text();
}

// `what` starts the error's text: "poll request: field 'wait_ms' is missing".
template <class Message>
Result<Message> read_message(std::string_view text, const char* what) {
  if (text.size() > static_cast<std::size_t>(kRecordMax.count))
    return fail(ErrorKind::invalid, std::string(what) + ": the message is too long");
  // Nesting is bounded before parsing: the parser's own stack is the heap, the destructor's is not.
  int depth = 0;
  const auto shallow = [&](int level, Json::parse_event_t, Json&) {
    depth = std::max(depth, level);
    return level <= 16;
  };
  const Json object = Json::parse(text, shallow, /*allow_exceptions=*/false);
  if (object.is_discarded() || depth > 16)
    return fail(ErrorKind::invalid, std::string(what) + ": the body is not JSON");
  Message message;
  std::optional<Error> error;
  Reader reader(object, "", error);
  if (!error) fields(reader, message);
  if (error) return fail(std::move(*error).in(what));
  return message;
}

}  // namespace lamina::wire
