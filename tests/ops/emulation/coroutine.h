// Coroutines, for the threads of a block, that Address and Thread Sanitizer can follow.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <functional>
#include <new>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMULATION_THREAD_SANITIZER  // not __SANITIZE_THREAD__: switches must not be instrumented
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace emulation {

// Thread Sanitizer takes every coroutine for a thread. What one did before release(address) comes
// before what another does after acquire(address); a switch orders nothing.
inline void acquire([[maybe_unused]] void* address) {
#ifdef EMULATION_THREAD_SANITIZER
  __tsan_acquire(address);
#endif
}

inline void release([[maybe_unused]] void* address) {
#ifdef EMULATION_THREAD_SANITIZER
  __tsan_release(address);
#endif
}

class Coroutine {
 public:
  // `body` must not return; it is entered by the first resume().
  explicit Coroutine(std::function<void(Coroutine&)> body) : body_(std::move(body)) {
    stack_ = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack_ == MAP_FAILED) throw std::bad_alloc();
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_;
    context_.uc_stack.ss_size = kStackBytes;
    context_.uc_link = nullptr;
    makecontext(&context_, &Coroutine::enter, 0);
#ifdef EMULATION_THREAD_SANITIZER
    thread_sanitizer_ = __tsan_create_fiber(0);
#endif
  }

  ~Coroutine() {
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(stack_, kStackBytes);
#endif
#ifdef EMULATION_THREAD_SANITIZER
    __tsan_destroy_fiber(thread_sanitizer_);
#endif
    munmap(stack_, kStackBytes);
  }

  Coroutine(const Coroutine&) = delete;

  // Runs the coroutine until it suspends.
  void resume() {
    running_ = this;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&caller_.fake_stack, stack_, kStackBytes);
#endif
#ifdef EMULATION_THREAD_SANITIZER
    caller_.thread_sanitizer = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(thread_sanitizer_, kNoSynchronisation);
#endif
    swapcontext(&caller_.context, &context_);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(caller_.fake_stack, nullptr, nullptr);
#endif
  }

  // Returns to the caller of resume().
  void suspend() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&fake_stack_, caller_.stack, caller_.stack_bytes);
#endif
#ifdef EMULATION_THREAD_SANITIZER
    __tsan_switch_to_fiber(caller_.thread_sanitizer, kNoSynchronisation);
#endif
    swapcontext(&context_, &caller_.context);
    finish_switch();
  }

 private:
  static constexpr size_t kStackBytes = 256 << 10;
  static constexpr unsigned kNoSynchronisation = 1;

  struct Caller {
    ucontext_t context;
    void* fake_stack;
    const void* stack;
    size_t stack_bytes;
    void* thread_sanitizer;
  };

  static void enter() {
    running_->finish_switch();
    running_->body_(*running_);
  }

  void finish_switch() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack_, &caller_.stack, &caller_.stack_bytes);
#endif
  }

  static inline Caller caller_{};
  static inline Coroutine* running_ = nullptr;

  std::function<void(Coroutine&)> body_;
  ucontext_t context_;
  void* stack_ = nullptr;
  void* fake_stack_ = nullptr;
  void* thread_sanitizer_ = nullptr;
};

}  // namespace emulation
