// Writes COCO's compressed run-length encoding of a mask, column by column.
#pragma once

#include <cstdint>
#include <string>

namespace hrdet {

class RunLengths {
 public:
  // Appends to `text`.
  explicit RunLengths(std::string& text) : text_(text) {}

  // Sets pixels [begin, end) of the mask; ranges must not decrease from call to call.
  void add(int64_t begin, int64_t end) {
    if (begin != end_) {
      flush();
      begin_ = begin;
    }
    end_ = end;
  }

  // Completes the encoding of a mask of `count` pixels.
  void finish(int64_t count) {
    flush();
    if (written_ < count) {
      write(count - written_);
    }
  }

 private:
  void flush() {
    if (begin_ < end_) {
      write(begin_ - written_);
      write(end_ - begin_);
      written_ = end_;
    }
  }

  // Runs of zeros and ones alternate. From the fourth run on, COCO stores the difference to the
  // previous run of the same value. Encoding: little-endian groups of five bits, sign-extended from
  // the last group; bit 6 marks that another group follows.
  void write(int64_t length) {
    int64_t value = runs_ > 2 ? length - before_last_ : length;
    before_last_ = last_;
    last_ = length;
    ++runs_;
    bool more = true;
    while (more) {
      const int64_t digit = value & 31;
      value >>= 5;
      more = value != (digit & 16 ? -1 : 0);
      text_.push_back(static_cast<char>('0' + digit + (more ? 32 : 0)));
    }
  }

  std::string& text_;
  int64_t begin_ = 0, end_ = 0;  // the current run of ones
  int64_t written_ = 0;          // pixels encoded so far
  int64_t runs_ = 0, last_ = 0, before_last_ = 0;
};

}  // namespace hrdet
