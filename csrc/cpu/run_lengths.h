// COCO's compressed run lengths of a mask, written while its pixels are visited column by column.
#pragma once

#include <cstdint>
#include <string>

namespace hrdet {

class RunLengths {
 public:
  // Appends to `text`.
  explicit RunLengths(std::string& text) : text_(text) {}

  // The pixels begin to end - 1 belong to the mask; calls come in rising order.
  void add(int64_t begin, int64_t end) {
    if (begin != end_) {
      flush();
      begin_ = begin;
    }
    end_ = end;
  }

  // No more pixels of a mask with `count` pixels.
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

  // Runs of zeros and ones in turn, from the fourth one on as the difference to the last run of
  // their kind: little-endian digits of five bits, the last one signed, bit 6 set before it.
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
  int64_t begin_ = 0, end_ = 0;  // the run of ones that may still grow
  int64_t written_ = 0;          // pixels in the text
  int64_t runs_ = 0, last_ = 0, before_last_ = 0;
};

}  // namespace hrdet
