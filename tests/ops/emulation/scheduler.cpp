// Runs the blocks of a launch one after another, and the threads of a block as coroutines that
// switch at barriers and warp operations only. What CUDA leaves undefined is an error here: a
// barrier that not all threads of the block reach, different barriers at a time, a warp operation
// without one of the lanes in its mask. The order of blocks and threads is an option, as no result
// may depend on it.
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "coroutine.h"
#include "cuda_runtime.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// The section of the __shared__ arrays, which build.py makes of .bss; its bounds are the linker's.
extern "C" char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));

namespace emulation {
namespace {

constexpr unsigned kWarp = 32;

enum class State { kReady, kAtBarrier, kAtWarp, kDone };

struct Thread {
  State state = State::kReady;
  Coroutine* coroutine = nullptr;
  Site site{};        // where it waits
  unsigned mask = 0;  // of the warp operation
  uint64_t value = 0;
};

[[noreturn]] void fail(const std::string& message) {
  throw std::runtime_error("CUDA emulation: " + message);
}

std::string text(const Site& site) {
  std::ostringstream out;
  out << (site.file ? site.file : "?") << ':' << site.line;
  return out.str();
}

bool same(const Site& a, const Site& b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

// Not memset, which Address Sanitizer would check: it poisons what lies between the arrays.
__attribute__((no_sanitize("address"))) void fill_with_garbage(char* begin, char* end) {
  for (volatile char* at = begin; at < end; ++at) {
    *at = static_cast<char>(0xa5);
  }
}

class Scheduler {
 public:
  unsigned order_seed = 0;  // 0: ascending, 1: descending, else shuffled
  int64_t launches = 0;

  void run(const cudaLaunchConfig_t& config, const std::function<void()>& kernel) {
    const std::lock_guard<std::mutex> lock(mutex_);
    kernel_ = &kernel;
    ++launches;
    ::blockDim = config.blockDim;
    ::gridDim = config.gridDim;
    random_.seed(order_seed);
    // Exactly as large as requested, so that Address Sanitizer sees accesses behind its end.
    dynamic_bytes_ = config.dynamicSmemBytes;
    dynamic_ = std::make_unique<char[]>(dynamic_bytes_);
    try {
      run_blocks();
    } catch (...) {
      acquire(&abandoned_);
      coroutines_.clear();  // some are still inside of a thread
      throw;
    }
    dynamic_.reset();
  }

  char* dynamic_shared() { return dynamic_.get(); }
  unsigned lane() const { return current_ % kWarp; }

  void block_barrier(Site site) {
    threads_[current_].site = site;
    release(this);
    suspend(State::kAtBarrier);
    acquire(this);
  }

  const uint64_t* exchange(unsigned mask, uint64_t value, bool fence, Site site) {
    Thread& thread = threads_[current_];
    std::vector<uint64_t>& values = warp_values_[current_ / kWarp];
    if (!(mask >> lane() & 1)) error_ = "a lane that is not in its mask, at " + text(site);
    thread.site = site;
    thread.mask = mask;
    thread.value = value;
    if (fence) release(&values);
    suspend(State::kAtWarp);
    if (fence) acquire(&values);
    return values.data();
  }

 private:
  void run_blocks() {
    const uint64_t blocks = uint64_t{gridDim.x} * gridDim.y * gridDim.z;
    const uint64_t start = order_seed > 1 ? random_() % blocks : 0;
    for (uint64_t i = 0; i < blocks; ++i) {
      const uint64_t block = order_seed == 1 ? blocks - 1 - i : (start + i) % blocks;
      ::blockIdx = {static_cast<unsigned>(block % gridDim.x),
                    static_cast<unsigned>(block / gridDim.x % gridDim.y),
                    static_cast<unsigned>(block / gridDim.x / gridDim.y)};
      run_block(blockDim.x * blockDim.y * blockDim.z);
    }
  }

  void run_block(unsigned count) {
    fill_with_garbage(__start_emulated_shared, __stop_emulated_shared);
    fill_with_garbage(dynamic_.get(), dynamic_.get() + dynamic_bytes_);
    threads_.assign(count, Thread{});
    warp_values_.assign((count + kWarp - 1) / kWarp, std::vector<uint64_t>(kWarp));
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), 0u);
    if (order_seed == 1) std::reverse(order_.begin(), order_.end());
    if (order_seed > 1) std::shuffle(order_.begin(), order_.end(), random_);
    free_.clear();
    for (const auto& coroutine : coroutines_) free_.push_back(coroutine.get());
    release(&block_start_);
    next_ = done_ = 0;
    while (next_ < count) start_threads();
    while (done_ < count) {
      release_waiting();
      for (const unsigned index : order_) {
        if (threads_[index].state != State::kReady) continue;
        set_current(index);
        threads_[index].coroutine->resume();
      }
    }
    acquire(&block_end_);
  }

  // Resumes a coroutine that runs threads from `next_` on until one of them waits.
  void start_threads() {
    if (free_.empty()) {
      coroutines_.push_back(
          std::make_unique<Coroutine>([this](Coroutine& coroutine) { run_threads(coroutine); }));
      free_.push_back(coroutines_.back().get());
    }
    Coroutine* coroutine = free_.back();
    free_.pop_back();
    coroutine->resume();
  }

  // What a coroutine runs: kernels without barriers never switch. (But for Thread Sanitizer, to
  // which every thread has to be a coroutine of its own.)
  [[noreturn]] void run_threads(Coroutine& coroutine) {
    for (;;) {
      while (next_ < order_.size()) {
        set_current(order_[next_++]);
        threads_[current_].coroutine = &coroutine;
        acquire(&block_start_);
        (*kernel_)();
        release(&block_end_);
        threads_[current_].state = State::kDone;
        ++done_;
#ifdef EMULATION_THREAD_SANITIZER
        break;
#endif
      }
#ifndef EMULATION_THREAD_SANITIZER
      free_.push_back(&coroutine);
#endif
      coroutine.suspend();
    }
  }

  void set_current(unsigned index) {
    current_ = index;
    ::threadIdx = {index % blockDim.x, index / blockDim.x % blockDim.y,
                   index / blockDim.x / blockDim.y};
  }

  void suspend(State state) {
    threads_[current_].state = state;
    release(&abandoned_);
    threads_[current_].coroutine->suspend();
  }

  // Called when every thread waits or is done: those go on whose operation is complete.
  void release_waiting() {
    if (!error_.empty()) fail(std::exchange(error_, {}));
    bool released = false;
    for (unsigned warp = 0; warp < warp_values_.size(); ++warp) released |= release_warp(warp);
    if (!released) release_barrier();
  }

  void release_barrier() {
    const Thread* first = nullptr;
    for (const Thread& thread : threads_) {
      if (thread.state == State::kAtWarp) {
        fail("a warp operation waits for lanes that never reach it, at " + text(thread.site));
      }
      if (thread.state == State::kAtBarrier && first == nullptr) first = &thread;
    }
    for (const Thread& thread : threads_) {
      if (thread.state == State::kDone) {
        fail("a thread has ended while others wait at a barrier, at " + text(first->site));
      }
      if (!same(thread.site, first->site)) {
        fail("threads of a block wait at different barriers, at " + text(first->site) + " and " +
             text(thread.site));
      }
    }
    for (Thread& thread : threads_) thread.state = State::kReady;
  }

  // One operation at a time, as its values stay where they are until its lanes have run.
  bool release_warp(unsigned warp) {
    const unsigned begin = warp * kWarp;
    const unsigned end = std::min<unsigned>(begin + kWarp, threads_.size());
    for (unsigned i = begin; i < end; ++i) {
      const unsigned mask = threads_[i].mask;
      if (!complete(begin, end, threads_[i])) continue;
      for (unsigned j = begin; j < end; ++j) {
        if (mask >> (j - begin) & 1) {
          warp_values_[warp][j - begin] = threads_[j].value;
          threads_[j].state = State::kReady;
        }
      }
      return true;
    }
    return false;
  }

  // Whether `one` waits at a warp operation, and so do all lanes of its mask.
  bool complete(unsigned begin, unsigned end, const Thread& one) const {
    if (one.state != State::kAtWarp) return false;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if (!(one.mask >> lane & 1)) continue;
      if (begin + lane >= end) return false;
      const Thread& other = threads_[begin + lane];
      if (other.state != State::kAtWarp || other.mask != one.mask || !same(other.site, one.site)) {
        return false;
      }
    }
    return true;
  }

  std::mutex mutex_;
  std::mt19937 random_;
  const std::function<void()>* kernel_ = nullptr;
  std::unique_ptr<char[]> dynamic_;
  size_t dynamic_bytes_ = 0;
  std::vector<Thread> threads_;
  std::vector<unsigned> order_;                     // of starting and resuming them
  std::vector<std::vector<uint64_t>> warp_values_;  // of the last operation of every warp
  std::vector<std::unique_ptr<Coroutine>> coroutines_;
  std::vector<Coroutine*> free_;
  std::string error_;
  unsigned current_ = 0;
  size_t next_ = 0, done_ = 0;                            // in `order_`; threads
  char block_start_ = 0, block_end_ = 0, abandoned_ = 0;  // for release() and acquire()
};

Scheduler scheduler;

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& kernel) {
  scheduler.run(config, kernel);
  return cudaSuccess;
}

void block_barrier(Site site) { scheduler.block_barrier(site); }

const uint64_t* exchange(unsigned mask, uint64_t value, bool fence, Site site) {
  return scheduler.exchange(mask, value, fence, site);
}

unsigned lane() { return scheduler.lane(); }

double2* dynamic_shared_memory() { return reinterpret_cast<double2*>(scheduler.dynamic_shared()); }

}  // namespace emulation

#define EMULATION_EXPORT extern "C" __attribute__((visibility("default")))

EMULATION_EXPORT void emulation_set_order(unsigned seed) { emulation::scheduler.order_seed = seed; }

EMULATION_EXPORT int64_t emulation_launches() { return emulation::scheduler.launches; }
