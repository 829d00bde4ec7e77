// The formats of text files whose records follow each other: account files (lines of fields),
// dpkg's databases (stanzas), and plain lists (one or more lines a record).
#pragma once

#include "shared/image/records/record_format.hpp"

namespace lamina::image {

// A file is cut into pieces, each a record with its members, or text. Derived classes say how. A
// second record of a name has its whole piece for a value and no members of its own.
class PieceFormat : public RecordFormat {
 public:
  RecordList parse(std::string_view bytes) const final;
  std::string write(const RecordList& list) const final;

 protected:
  // Takes the next piece off `bytes`, which are not empty. The piece's end is left out, and may be
  // missing only at the end of `bytes`.
  virtual std::string_view take(std::string_view& bytes) const = 0;
  // What follows a piece.
  virtual std::string_view end_of(std::string_view piece) const = 0;
  // The records of a piece: one record, then its administrators and members; nothing for text.
  virtual std::vector<Record> records_of(std::string_view piece) const = 0;
  // The reverse, for a record with a value and the names in its sets, in order.
  virtual std::string piece_of(const std::string& value,
                               std::span<const std::string_view> administrators,
                               std::span<const std::string_view> members) const;
};

// passwd(5), group(5), shadow(5), gshadow(5), subuid(5): a line of fields with ':' between them,
// keyed by the first. Lines of NIS ("+...", "-...") and comments are text.
class AccountFormat : public PieceFormat {
 public:
  struct Shape {
    std::size_t fields;
    std::size_t sets = 0;      // So many of the last fields are sets of names.
    std::size_t own_from = 0;  // Fields from here and before `own_to` belong to the device once
    std::size_t own_to = 0;    // somebody changed them there: a password and its date.
  };
  explicit AccountFormat(Shape shape) : shape_(shape) {}

  std::string own(const RecordKey& key, const std::string* previous, const std::string& target,
                  const std::string& device) const override;

 protected:
  std::string_view take(std::string_view& bytes) const override;
  std::string_view end_of(std::string_view piece) const override;
  std::vector<Record> records_of(std::string_view piece) const override;
  std::string piece_of(const std::string& value, std::span<const std::string_view> administrators,
                       std::span<const std::string_view> members) const override;

 private:
  Shape shape_;
};

// deb822(5): stanzas of "Field: value" lines with an empty line after each. A record's value is its
// whole stanza.
class StanzaFormat : public PieceFormat {
 public:
  enum class Key {
    package,               // "Package", and ":Architecture" where several may be installed.
    package_architecture,  // "Package:Architecture".
    name,                  // "Name".
  };
  explicit StanzaFormat(Key key) : key_(key) {}

 protected:
  std::string_view take(std::string_view& bytes) const override;
  std::string_view end_of(std::string_view piece) const override;
  std::vector<Record> records_of(std::string_view piece) const override;

 private:
  Key key_;
};

// One record a line.
class LineFormat : public PieceFormat {
 public:
  enum class Key {
    first_word,
    fourth_word_on,  // From the fourth word to the end of the line.
    interest,        // The line without "/noawait" and "/await": a trigger and who waits for it.
  };
  explicit LineFormat(Key key) : key_(key) {}

 protected:
  std::string_view take(std::string_view& bytes) const override;
  std::string_view end_of(std::string_view piece) const override;
  std::vector<Record> records_of(std::string_view piece) const override;

 private:
  Key key_;
};

}  // namespace lamina::image
