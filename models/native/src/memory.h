// Buffers whose rows start on cache lines.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace speech {

template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(int64_t count) {
        const size_t bytes = (size_t(count) * sizeof(T) + 63) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes ? bytes : 64));
        if (!data_) throw std::bad_alloc();
    }
    Buffer(Buffer&& other) noexcept { std::swap(data_, other.data_); }
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    ~Buffer() { std::free(data_); }

    T* get() const { return data_; }
    T& operator[](int64_t i) const { return data_[i]; }

private:
    T* data_ = nullptr;
};

}  // namespace speech
