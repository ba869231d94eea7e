/* Lets SmaltiDelegate.java create and destroy the delegate of libsmalti.so. */
#include <jni.h>
#include <stdint.h>

#include "smalti.h"

/* The two functions of every external delegate of TensorFlow Lite. */
void *tflite_plugin_create_delegate(const char *const *keys, const char *const *values,
                                    size_t count, void (*report)(const char *));
void tflite_plugin_destroy_delegate(void *delegate);

JNIEXPORT jlong JNICALL Java_org_smalti_SmaltiDelegate_create(JNIEnv *env, jclass self) {
  (void)env, (void)self;
  return (jlong)(intptr_t)tflite_plugin_create_delegate(NULL, NULL, 0, NULL);
}

/* Does nothing for 0. */
JNIEXPORT void JNICALL Java_org_smalti_SmaltiDelegate_destroy(JNIEnv *env, jclass self,
                                                              jlong handle) {
  (void)env, (void)self;
  tflite_plugin_destroy_delegate((void *)(intptr_t)handle);
}

JNIEXPORT jstring JNICALL Java_org_smalti_SmaltiDelegate_version(JNIEnv *env, jclass self) {
  (void)self;
  return (*env)->NewStringUTF(env, smalti_version());
}
