// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.util.ArrayList;
import java.util.List;

/** A connector as LOADED describes it. */
public final class Description {
    public String version;
    public String taskClass;
    public String doc;
    public final List<Def> defs = new ArrayList<>();

    /** One key. The types are those of gantry/config.h. */
    public static final class Def {
        public static final int STRING = 0;
        public static final int INT = 1;
        public static final int BOOL = 4;
        public static final int ENUM = 5;
        public static final int LIST = 6;
        public static final int PASSWORD = 7;

        public final String name;
        public final int type;
        public final boolean required;
        public final String doc;
        public String defaultValue;
        public long min;
        public long max;

        public Def(String name, int type, boolean required, String doc) {
            this.name = name;
            this.type = type;
            this.required = required;
            this.doc = doc;
        }

        /** Of a number; without, any goes. */
        public Def range(long least, long most) {
            min = least;
            max = most;
            return this;
        }

        /** What the worker sets where nothing is given. */
        public Def defaultValue(String value) {
            defaultValue = value;
            return this;
        }
    }
}
