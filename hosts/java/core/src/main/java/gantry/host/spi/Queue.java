// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

/** A queue of a topic. */
public final class Queue {
    public final String topic;
    public final int number;

    public Queue(String topic, int number) {
        this.topic = topic;
        this.number = number;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Queue && ((Queue) other).number == number && ((Queue) other).topic.equals(topic);
    }

    @Override
    public int hashCode() {
        return topic.hashCode() * 31 + number;
    }

    @Override
    public String toString() {
        return topic + "-" + number;
    }
}
