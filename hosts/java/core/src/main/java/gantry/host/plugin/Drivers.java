// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import java.sql.Driver;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Collections;

/**
 * The JDBC drivers that a plugin's classes have registered with the JDK, which would keep the plugin in memory for ever.
 * They are given back to a class of their own loader only, so each plugin's loader defines this one for itself.
 */
public final class Drivers {
    private Drivers() {
    }

    /** Take back those of this class's own loader. */
    public static void forget() throws SQLException {
        for (Driver driver : Collections.list(DriverManager.getDrivers())) {
            if (driver.getClass().getClassLoader() == Drivers.class.getClassLoader()) {
                DriverManager.deregisterDriver(driver);
            }
        }
    }
}
