// Whether two declarations of a C function would be called alike.
#pragma once

#include <type_traits>

// The same argument: pointers of equal depth and constness, or plain values of equal size.
template <class A, class B>
constexpr bool same_argument() {
  if constexpr (std::is_function_v<A> || std::is_function_v<B>) {
    return std::is_same_v<A, B>;
  } else if constexpr (std::is_pointer_v<A> && std::is_pointer_v<B>) {
    using To = std::remove_pointer_t<A>;
    using From = std::remove_pointer_t<B>;
    return std::is_const_v<To> == std::is_const_v<From> && same_argument<To, From>();
  } else if constexpr (std::is_class_v<A> || std::is_class_v<B>) {
    return std::is_class_v<A> && std::is_class_v<B>;
  } else if constexpr (std::is_void_v<A> || std::is_void_v<B>) {
    return std::is_same_v<std::remove_cv_t<A>, std::remove_cv_t<B>>;
  } else {
    return !std::is_pointer_v<A> && !std::is_pointer_v<B> && sizeof(A) == sizeof(B) &&
           std::is_floating_point_v<A> == std::is_floating_point_v<B>;
  }
}

template <class A, class B>
struct SameCall;

template <class A, class... As, class B, class... Bs>
struct SameCall<A (*)(As...), B (*)(Bs...)> {
  static constexpr bool value() {
    if constexpr (sizeof...(As) == sizeof...(Bs)) {
      return same_argument<A, B>() && (same_argument<As, Bs>() && ...);
    } else {
      return false;
    }
  }
};

template <class A, class... As, class B, class... Bs>
struct SameCall<A (*)(As...), B (*)(Bs...) noexcept> : SameCall<A (*)(As...), B (*)(Bs...)> {};

template <class A, class... As, class B, class... Bs>
struct SameCall<A (*)(As..., ...), B (*)(Bs..., ...)> : SameCall<A (*)(As...), B (*)(Bs...)> {};

template <class A, class B>
constexpr bool same_call = SameCall<A, B>::value();
